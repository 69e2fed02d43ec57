//! Our programs beside ClamAV's own.

mod cases;
mod incremental;
mod randomness;
mod scripts;
mod verdicts;
