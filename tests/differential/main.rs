//! Our programs beside ClamAV's own.

mod incremental;
mod scripts;
mod verdicts;
