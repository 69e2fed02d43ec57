//! The updater's HTTP client against a mirror that does whatever it is told to.
//!
//! Each module is marked as a test, since clippy's allowances for tests reach nothing else.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod attempts;
#[cfg(test)]
mod bounds;
#[cfg(test)]
mod freshclam;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod redirects;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tls;
