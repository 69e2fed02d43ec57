//! Documentation that is made from the code or the template, and held to it.
//!
//! Each module is marked as a test, since clippy's allowances for tests reach nothing else.

#[cfg(test)]
mod alarms;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod configuration;
#[cfg(test)]
mod crates;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod policies;
#[cfg(test)]
mod release;
#[cfg(test)]
mod retries;
#[cfg(test)]
mod scale;
#[cfg(test)]
mod screens;
#[cfg(test)]
mod statements;
#[cfg(test)]
mod template;
#[cfg(test)]
mod verdicts;
