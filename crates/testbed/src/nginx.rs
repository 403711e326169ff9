//! nginx in front of a registry, as many have it, with an access log that tells the request's id.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::cluster::{Bed, Site};
use crate::ports;
use crate::process::Process;
use crate::tool::missing;
use crate::web;

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    address: SocketAddr,
    access: PathBuf,
}

impl Nginx {
    /// Starts one that passes everything on to `upstream`.
    ///
    /// # Errors
    /// If nginx is not installed, or does not get ready.
    pub async fn start(bed: &Bed, upstream: SocketAddr) -> anyhow::Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let home = bed.path().join("nginx");
        std::fs::create_dir_all(&home)?;
        let config = format!(
            "daemon off; master_process off; pid {home}/pid; error_log stderr;\n\
             events {{}}\n\
             http {{\n  log_format id '$request_method $request_uri $status $http_x_request_id';\n  \
             access_log {home}/access.log id;\n  client_body_temp_path {home}/body;\n  \
             proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/f;\n  \
             uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;\n  \
             server {{\n    listen {address};\n    location / {{\n      \
             proxy_pass http://{upstream}; proxy_set_header Host $http_host;\n    }}\n  }}\n}}\n",
            home = home.display()
        );
        let file = home.join("nginx.conf");
        std::fs::write(&file, config)?;
        let mut command = Command::new("nginx");
        // Debian has it where not everybody's PATH leads.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin")).arg("-e").arg("stderr");
        let process = Process::start("nginx", &home, command.arg("-c").arg(&file))
            .with_context(|| missing("nginx", "nginx-light"))?;
        let nginx = Self { process, address, access: home.join("access.log") };
        for _ in 0..200 {
            if web::get(address, "/v2/", &[]).await.is_ok() {
                return Ok(nginx);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("nginx does not get ready:\n{}", nginx.process.log())
    }

    /// How a supernode or node is told of it.
    #[must_use]
    pub fn site(&self) -> Site {
        Site::http(&self.host(), self.address)
    }

    /// Its host, as references have it.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The access log's lines: method, path and query, status, request id (`-` without one).
    #[must_use]
    pub fn access(&self) -> Vec<String> {
        let log = std::fs::read_to_string(&self.access).unwrap_or_default();
        log.lines().map(ToOwned::to_owned).collect()
    }
}
