//! Our programs beside ClamAV's own.

mod cases;
mod incremental;
mod scripts;
mod verdicts;
