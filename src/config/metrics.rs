//! Where the metrics of a run go: a file, a Pushgateway, or both.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail, ensure};

use super::sources::{Inputs, read_file, text_of};
use crate::cli;
use crate::tell::push::Pushgateway;

/// Where the metrics go.
#[derive(Debug)]
pub struct Metrics {
    pub file: Option<PathBuf>,
    pub pushgateway: Option<Pushgateway>,
    /// So many connectors have series of their own.
    pub connectors: usize,
}

impl Metrics {
    pub(super) fn read(inputs: &Inputs<'_>) -> Result<Self> {
        Ok(Self {
            file: file(inputs)?,
            pushgateway: pushgateway(inputs)?,
            connectors: inputs.parsed(
                &cli::METRICS_CONNECTORS,
                "a whole number from 0 to 10000",
                |text| text.parse().ok().filter(|number| *number <= 10_000),
            )?,
        })
    }
}

fn file(inputs: &Inputs<'_>) -> Result<Option<PathBuf>> {
    let Some(value) = inputs.exact(&cli::METRICS_FILE)? else { return Ok(None) };
    let path = PathBuf::from(&value.text);
    // The collector reads no other, and says nothing.
    if path.extension().is_none_or(|extension| extension != "prom") {
        return Err(value.refuse("a file whose name ends in .prom, or node_exporter would not read it"));
    }
    Ok(Some(path))
}

fn pushgateway(inputs: &Inputs<'_>) -> Result<Option<Pushgateway>> {
    let (plain, file) = (inputs.exact(&cli::PUSHGATEWAY_URL)?, inputs.exact(&cli::PUSHGATEWAY_URL_FILE)?);
    let (name, text) = match (plain, file) {
        (Some(plain), Some(file)) => bail!("{} and {} exclude each other", plain.name, file.name),
        (Some(plain), None) => (plain.name, plain.text),
        (None, Some(file)) => {
            let text = text_of(&file.name, read_file(&file.name, Path::new(&file.text))?)?;
            ensure!(text.trim() == text, "{}: the file has blanks or lines around its URL", file.name);
            (file.name, text)
        }
        (None, None) => return Ok(None),
    };
    // Never with what was given: it may hold a password.
    let refused =
        || anyhow!("{name} takes a URL such as http://pushgateway:9091, without /metrics/job/... or a query");
    Pushgateway::parse(&text).map(Some).ok_or_else(refused)
}
