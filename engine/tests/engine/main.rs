//! Drives the real engine over its pipe.
//!
//! Each module is marked as a test, since clippy's allowances for tests reach nothing else.

#[cfg(test)]
mod archives;
#[cfg(test)]
mod concurrency;
#[cfg(test)]
mod containers;
#[cfg(test)]
mod differential;
#[cfg(test)]
mod driver;
#[cfg(test)]
mod fail_closed;
#[cfg(test)]
mod hashes;
#[cfg(test)]
mod hostile_corpus;
#[cfg(test)]
mod hostility;
#[cfg(test)]
mod loading;
#[cfg(all(test, feature = "attack-probe"))]
mod sandbox;
#[cfg(test)]
mod scanning;
