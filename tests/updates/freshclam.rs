//! The same updates by a stock freshclam: the same bytes and generations as by our own client, and the same refusals.

mod agreement;
mod hostile;
mod refusals;
mod stock;
