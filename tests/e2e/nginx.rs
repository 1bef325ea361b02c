//! A real nginx in front of Connect, as many people run it: TLS, `auth_basic`, `proxy_pass`.
//!
//! It owns nginx's process and the settings that keep it within this test run's folder. What it serves is
//! for the scenario to say.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::jvm;
use crate::wait;

pub struct Nginx {
    child: Child,
    pub port: u16,
}

impl Nginx {
    /// `server` is what stands within `server { listen ...; }`; `options` come behind the port ("ssl").
    pub fn start(options: &str, server: &str) -> Nginx {
        jvm::with_ports("nginx", |[port]| Nginx::start_on(port, options, server))
    }

    fn start_on(port: u16, options: &str, server: &str) -> Option<Nginx> {
        let folder = jvm::new_folder("nginx");
        let settings = folder.join("nginx.conf");
        fs::write(&settings, configuration(&folder, port, options, server)).expect("write nginx's settings");
        let log = folder.join("log");
        let output = File::create(&log).expect("create the log");
        let mut child = Command::new("nginx")
            .arg("-p")
            .arg(&folder)
            .arg("-c")
            .arg(&settings)
            .args(["-e", "stderr"])
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("one file for both"))
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "cannot start `nginx`: {error}. This test runs a real nginx: install it \
                     (Debian: apt-get install nginx-light) and put it on the PATH"
                )
            });
        jvm::leave_to_watchdog(child.id());
        let started = wait::until("nginx to listen", || {
            let said = fs::read_to_string(&log).unwrap_or_default();
            match child.try_wait().expect("ask for a child of ours") {
                Some(_) if said.contains("Address already in use") => Ok(false),
                Some(status) => panic!("nginx ended ({status}):\n{said}"),
                None => {
                    TcpStream::connect(("127.0.0.1", port)).map(|_| true).map_err(|error| error.to_string())
                }
            }
        });
        let nginx = Nginx { child, port };
        started.then_some(nginx)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        jvm::take_from_watchdog(self.child.id());
    }
}

/// One process and no file outside the folder, so that it runs for anybody and leaves nothing.
fn configuration(folder: &Path, port: u16, options: &str, server: &str) -> String {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|what| format!("  {what}_temp_path {}/{what};\n", folder.display()))
        .collect();
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr warn;\nevents {{}}\n\
         http {{\n  access_log off;\n{temporary}  server {{\n    listen 127.0.0.1:{port} {options};\n{server}\n  }}\n}}\n",
        folder = folder.display()
    )
}
