//! The whole of Nacre on the local stack, through its real entry points.

mod accounts;
mod alarms;
mod backfill;
mod bad_night;
mod buckets;
mod contract;
mod definitions;
mod demo;
mod deploy;
mod idle;
mod keys;
mod main_job;
mod mirror_to_others;
mod objects;
mod operations;
mod passes;
mod quarantine;
mod queues;
mod reports;
mod results;
mod retries;
mod scan_sets;
mod settings;
mod stay;
mod watch;
