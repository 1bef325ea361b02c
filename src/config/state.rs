//! Where the ledger is kept: a file, by default named after the cluster, or a ConfigMap that the pod's service account
//! reaches.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use reqwest::Url;

use super::person;
use super::sources::{Inputs, Value, read_file};
use crate::cli;
use crate::http::{Authorization, Secret, TrustedCas};
use crate::store::{ConfigMap, Place, ServiceAccount};

/// The state's place; by default a file that is named after the cluster.
pub(super) fn place(inputs: &Inputs<'_>, cluster: &str) -> Result<Place> {
    if let Some(value) = inputs.exact(&cli::STATE)? {
        return match value.text.strip_prefix("configmap:") {
            Some(map) => config_map(inputs, &value, map),
            None if value.text.starts_with('~') => Err(anyhow!(
                "{} begins with ~, which only a shell replaces: write the folder's whole path",
                value.name
            )),
            None => Ok(Place::File(PathBuf::from(value.text))),
        };
    }
    let variable = |name| Ok::<_, anyhow::Error>(inputs.variable(name)?.map(|value| value.text));
    let safe = |c: char| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let file = format!("{}.json", cluster.chars().map(safe).collect::<String>());
    // systemd separates several folders by colons.
    if let Some(folder) =
        variable("STATE_DIRECTORY")?.and_then(|list| list.split(':').next().map(PathBuf::from))
    {
        return Ok(Place::File(folder.join(file)));
    }
    let xdg = match (variable("XDG_STATE_HOME")?, variable("HOME")?) {
        (Some(folder), _) => PathBuf::from(folder),
        (None, Some(home)) => Path::new(&home).join(".local/state"),
        (None, None) => {
            bail!("GUARDIAN_STATE must name a file here: neither HOME nor STATE_DIRECTORY is set");
        }
    };
    Ok(Place::File(xdg.join("connector-guardian").join(file)))
}

/// A ConfigMap by its name, and the pod's service account to reach it with: the
/// environment and files that every pod has.
fn config_map(inputs: &Inputs<'_>, value: &Value, map: &str) -> Result<Place> {
    let (name, namespace) = match map.split_once('/') {
        Some((name, namespace)) => (name, Some(namespace)),
        None => (map, None),
    };
    // DNS-1123, as Kubernetes has it: nothing else can be an object's name.
    let is_name = |text: &str, longest: usize, dots: bool| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        (1..=longest).contains(&text.len())
            && text.chars().all(|c| inner(c) || c == '-' || (dots && c == '.'))
            && text.starts_with(inner)
            && text.ends_with(inner)
    };
    if !is_name(name, 253, true) || namespace.is_some_and(|text| !is_name(text, 63, false)) {
        return Err(
            value.refuse("a file's path, or configmap:NAME[/NAMESPACE] with names as Kubernetes has them")
        );
    }
    let variable = |name| Ok::<_, anyhow::Error>(inputs.variable(name)?.map(|value| value.text));
    let Some(host) = variable("KUBERNETES_SERVICE_HOST")? else {
        bail!(
            "{}: a ConfigMap is reached from a Kubernetes pod, and this is none (KUBERNETES_SERVICE_HOST is not set); name a file",
            value.name
        );
    };
    let port = variable("KUBERNETES_SERVICE_PORT")?.unwrap_or_else(|| "443".to_owned());
    let bracketed = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
    let server = Url::parse(&format!("https://{bracketed}:{port}"))
        .ok()
        .filter(|url| {
            url.username().is_empty()
                && url.path() == "/"
                && url.query().is_none()
                && url.fragment().is_none()
        })
        .context("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT make no address of an API server")?;
    let folder = PathBuf::from(inputs.value(&cli::SERVICEACCOUNT_DIR)?.text);
    let file = |file: &str| {
        let bytes = read_file(&value.name, &folder.join(file)).map_err(|refused| {
            anyhow!("{refused:#} (automountServiceAccountToken: true mounts it, GUARDIAN_SERVICEACCOUNT_DIR says where)")
        })?;
        Ok::<_, anyhow::Error>(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    let unusable = |file: &str, why: &str| anyhow!("{}: {} {why}", value.name, folder.join(file).display());
    let namespace = match namespace {
        Some(namespace) => namespace.to_owned(),
        None => file("namespace")?,
    };
    if !is_name(&namespace, 63, false) {
        return Err(unusable("namespace", "holds no namespace"));
    }
    let token = file("token")?;
    if token.is_empty() || !token.chars().all(|c| c.is_ascii_graphic()) {
        return Err(unusable("token", "holds no token"));
    }
    let trusted = TrustedCas::from_pem(file("ca.crt")?.as_bytes())
        .map_err(|why| unusable("ca.crt", &why.to_string()))?;
    let host = person::host(inputs.environment);
    Ok(Place::ConfigMap(Box::new(ConfigMap {
        name: name.to_owned(),
        namespace,
        account: ServiceAccount {
            server,
            authorization: Authorization::Bearer(Secret::from(token)),
            trusted,
            holder: format!("{host} (pid {})", std::process::id()),
            folder,
        },
    })))
}
