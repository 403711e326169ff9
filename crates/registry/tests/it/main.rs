//! The client against scripted HTTP servers on loopback.

#[cfg(test)]
mod auth;
#[cfg(test)]
mod environment;
#[cfg(test)]
mod manifests;
#[cfg(test)]
mod redirects;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod transfer;
#[cfg(test)]
mod urls;
