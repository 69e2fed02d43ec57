//! The updater's HTTP client against a mirror that does whatever it is configured to.

mod answers;
mod attempts;
mod bounds;
mod freshclam;
mod proxy;
mod redirects;
mod support;
mod tls;
