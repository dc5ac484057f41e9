//! Options about pushes.

use super::push_target::Target;
use clap::Args;

/// Options about pushes.
#[derive(Args, Debug, Default, Clone)]
pub(crate) struct PushOptions {
    /// Also send the profile to a server; may be repeated.
    ///
    /// pyroscope+http://HOST:PORT/APP or parca+http://HOST:PORT/APP (or +https). APP defaults to
    /// the program's name. Labels follow it: ?env=prod&region=eu. If a push fails, a warning is
    /// printed; files and the exit status do not change.
    #[arg(long, value_name = "URL", global = true)]
    pub(crate) push: Vec<Target>,
    /// Allow tokens to be sent to other machines over unencrypted HTTP.
    #[arg(long, global = true)]
    pub(crate) push_token_over_http: bool,
    /// Time limit for all pushes together.
    #[arg(long, value_name = "SECONDS", global = true, default_value = "20")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) push_timeout: u64,
}

impl PushOptions {
    /// Returns whether there is a server to send to.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.push.is_empty()
    }
}
