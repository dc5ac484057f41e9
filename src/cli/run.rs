//! Runs a program under the library and reports what it did.

use crate::error::{Code, Failure};
use crate::following;
use crate::harvest::{Harvest, HarvestError, Wish, harvest};
use crate::install::{self, Folder, Readers};
use crate::options::{ReportOptions, RunOptions};
use crate::output::Output;
use crate::remaining::Running;
use crate::session::Session;
use crate::summary::ends;
use crate::target::{self, Target};
use crate::terminal::term;
use crate::{
    copies, remaining, reporting, scratch, session, signals, snapshots, sys, values, whole,
};
use skipheap_config::filter::{is_named, is_profiled, named_by};
use skipheap_config::settings::{Mode, NAMED, PROFILE, PROGRAMS};
use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

/// Runs the program and reports. Returns the exit status for the tool: the program's.
///
/// # Errors
/// When the program was not run, or the report could not be written although it succeeded.
pub(crate) fn run(
    command: &[OsString],
    options: &RunOptions,
    wanted: &ReportOptions,
) -> Result<u8, Failure> {
    let Some((program, arguments)) = command.split_first() else {
        return Ok(Code::Unusable as u8);
    };
    let wish = reporting::wish(wanted, true)?;
    let prepared = Prepared::new(program, arguments, options, wanted)?;
    let output = reporting::output(wanted);
    output.check().map_err(Failure::because(
        Code::Failed,
        format_args!("cannot write the report to {}", display(wanted)),
    ))?;
    if let Some(path) = &wanted.shape.timeline {
        whole::check(path).map_err(Failure::because(
            Code::Failed,
            format_args!("cannot write the timeline to {}", term::path(path)),
        ))?;
    }
    let (ending, session, places) = prepared.run()?;
    ending.report(session, places, output, &wish, options, wanted)
}

/// Runs a program for somebody who looks at the recordings himself.
///
/// # Errors
/// When the program was not run.
pub(crate) fn run_once(
    command: &[OsString],
    options: &RunOptions,
    wanted: &ReportOptions,
) -> Result<Finished, Failure> {
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| Failure::unusable("which program?"))?;
    let prepared = Prepared::new(program, arguments, options, wanted)?;
    let (ending, session, places) = prepared.run()?;
    Ok(Finished {
        ending,
        session,
        _places: places,
    })
}

/// A run that has ended, and its recordings, which go with it.
pub(crate) struct Finished {
    ending: Ending,
    session: Session,
    _places: Places,
}

impl Finished {
    /// The program's exit status, or 128 and the number of a signal.
    pub(crate) fn status(&self) -> u8 {
        self.ending.status
    }

    /// The program's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.ending.pid
    }

    /// The signal that killed the program.
    pub(crate) fn signal(&self) -> Option<i32> {
        self.ending.signal
    }

    /// Returns whether the program itself was to be profiled, and not only what it starts.
    pub(crate) fn is_profiled(&self) -> bool {
        self.ending.profiled && self.ending.mode != Mode::Off
    }

    /// Reads the recordings, and says what still runs.
    ///
    /// # Errors
    /// When the report cannot be written.
    pub(crate) fn harvest(
        &self,
        output: &mut Output,
        wish: &Wish,
    ) -> Result<(Harvest, Vec<Running>), HarvestError> {
        let before = self.ending.running(&self.session);
        let (recordings, _) = snapshots::apart(self.session.recordings().unwrap_or_default());
        let mut harvest = harvest(&recordings, output, wish)?;
        let running = self.ending.and_running(before, &self.session);
        harvest.unreached = self.session.unreached();
        harvest.unseen_ends = ends::unseen(&harvest.heads, &running, self.ending.killed());
        harvest.unrecorded = self.ending.unrecorded(&harvest);
        Ok((harvest, running))
    }
}

/// A run that could begin.
struct Prepared<'a> {
    program: &'a OsStr,
    arguments: &'a [OsString],
    settings: Settings,
    target: Target,
    /// What the library is told of the programs that the command names.
    named: Vec<u8>,
    profiled: bool,
    /// Wait for the end of all processes, and not of this one only.
    wait: bool,
}

impl<'a> Prepared<'a> {
    /// Finds out whether the program can be profiled.
    fn new(
        program: &'a OsStr,
        arguments: &'a [OsString],
        options: &RunOptions,
        wanted: &ReportOptions,
    ) -> Result<Self, Failure> {
        values::check(options)?;
        let target = target::find(program).map_err(refused)?;
        let settings = Settings::new(options, wanted, target.is_unoptimized());
        let words = std::iter::once(program).chain(arguments.iter().map(OsString::as_os_str));
        let named = named_by(std::process::id(), words.map(OsStr::as_bytes));
        let profiled = settings.profiles(&target, &named);
        if settings.mode != Mode::Off {
            target.check(profiled).map_err(refused)?;
        }
        Ok(Self {
            program,
            arguments,
            settings,
            target,
            named,
            profiled,
            wait: options.wait,
        })
    }

    /// Runs it to its end.
    fn run(self) -> Result<(Ending, Session, Places), Failure> {
        let session = Session::new().map_err(Failure::because(
            Code::Failed,
            "cannot create a folder for the recordings (TMPDIR can name another place)",
        ))?;
        let places = Places::new(&session)?;
        let mut command = Command::new(&self.target.path);
        command
            .arg0(self.program)
            .args(self.arguments)
            .env("LD_PRELOAD", ld_preload(&places.library))
            .env(NAMED, OsStr::from_bytes(&self.named))
            .envs(self.settings.variables);
        // Tokens are for the tool's servers, and nobody else's business.
        for (name, _) in env::vars_os() {
            let name = name.as_bytes();
            if name.starts_with(b"SKIP_HEAP_") && name.ends_with(b"_TOKEN") {
                command.env_remove(OsStr::from_bytes(name));
            }
        }
        session.tell(&mut command);
        if self.named.is_empty() {
            command.env_remove(NAMED);
        }
        let (pid, status) = signals::run_to_end(&mut command).map_err(|error| {
            let code = match error.kind() {
                io::ErrorKind::NotFound => Code::NotFound,
                _ => Code::NotExecutable,
            };
            Failure::because(
                code,
                format_args!("cannot run {}", term::path(&self.target.path)),
            )(error)
        })?;
        match self.wait {
            true => remaining::wait_for_all(&session.place()),
            false if self.settings.mode != Mode::Off => remaining::wait_a_moment(&session.place()),
            false => {}
        }
        let ending = Ending {
            status: exit_status(status),
            signal: status.signal(),
            pid,
            profiled: self.profiled,
            mode: self.settings.mode,
            target: self.target,
            command: std::iter::once(self.program.to_owned())
                .chain(self.arguments.iter().cloned())
                .collect(),
        };
        Ok((ending, session, places))
    }
}

/// The value of LD_PRELOAD for the program. Says which library serves where there are others.
fn ld_preload(library: &Path) -> OsString {
    let before = env::var_os("LD_PRELOAD").unwrap_or_default();
    let (others, rest) = copies::apart(&before);
    for other in &others {
        say(format_args!(
            "{} in LD_PRELOAD is another copy of the profiler's library and is ignored: {} is used",
            term::path(other),
            term::path(library)
        ));
    }
    match copies::of_the_system() {
        Some((other, true)) => say(format_args!(
            "{} in {} is another copy of the profiler's library: {} is used",
            term::path(&other),
            copies::SYSTEM,
            term::path(library)
        )),
        Some((other, false)) => {
            say(format_args!(
                "{} in {} is another version of the profiler's library, and is used",
                term::path(&other),
                copies::SYSTEM
            ));
            return rest;
        }
        None => {}
    }
    install::ld_preload(library, Some(&rest))
}

/// The settings of a run, from options and environment.
struct Settings {
    variables: Vec<(&'static str, OsString)>,
    mode: Mode,
    programs: Option<OsString>,
}

impl Settings {
    /// Of a program that was built without optimisation, four frames say nothing for people.
    fn new(options: &RunOptions, wanted: &ReportOptions, is_unoptimized: bool) -> Self {
        let mut variables = options.variables();
        let value = |name: &str| {
            let option = variables.iter().find(|variable| variable.0 == name);
            option
                .map(|variable| variable.1.clone())
                .or_else(|| env::var_os(name))
        };
        let profile = value(PROFILE);
        let programs = value(PROGRAMS);
        let mut needs = wanted.needs();
        needs.whole_stacks |= wanted.push.is_wanted() || is_unoptimized;
        let additions = following::additions(needs, value);
        variables.extend(additions);
        let mode = Mode::parse(profile.as_deref().map(OsStr::as_bytes));
        Self {
            variables,
            mode: mode.unwrap_or(Mode::Programs),
            programs,
        }
    }

    /// Returns whether the library will profile the program itself.
    fn profiles(&self, target: &Target, named: &[u8]) -> bool {
        let programs = self.programs.as_deref().map(OsStr::as_bytes);
        let (argv0, exe) = (target.argv0.as_bytes(), target.exe.as_os_str().as_bytes());
        let is_named = is_named(named, std::process::id(), argv0, exe);
        is_profiled(self.mode, programs, argv0, exe, is_named)
    }
}

/// Where the library is for this run.
struct Places {
    library: PathBuf,
    /// Made for the library when neither the cache nor the session's folder would do.
    _own: Option<scratch::Folder>,
}

impl Places {
    fn new(session: &Session) -> Result<Self, Failure> {
        let failed = |error| {
            Failure::because(
                Code::Failed,
                "cannot place the library where the loader could load it",
            )(error)
        };
        let own = Folder::new(session.path(), Readers::Us);
        let usual = install::cache_folders().chain([own]);
        if let Ok(library) = install::place_in_one_of(usual) {
            return Ok(Self {
                library,
                _own: None,
            });
        }
        // TMPDIR and HOME have odd names or are mounted noexec.
        let own = scratch::Folder::new_in("/tmp".as_ref(), session::PREFIX).map_err(failed)?;
        let folder = Folder::new(own.path(), Readers::Us);
        let library = install::place_in_one_of([folder]).map_err(failed)?;
        Ok(Self {
            library,
            _own: Some(own),
        })
    }

    /// Leaves the library to processes that still run.
    fn keep(self) {
        if let Some(own) = self._own {
            let _ = own.keep();
        }
    }
}

/// A run that has ended.
struct Ending {
    status: u8,
    /// The signal that ended the program.
    signal: Option<i32>,
    /// The program's process id.
    pid: u32,
    profiled: bool,
    mode: Mode,
    target: Target,
    /// The program and its arguments.
    command: Vec<OsString>,
}

impl Ending {
    /// The program's process id, if a signal ended it: its status says so.
    fn killed(&self) -> Option<u32> {
        self.signal.map(|_| self.pid)
    }

    /// The processes that still run, but where nothing is recorded of any.
    fn running(&self, session: &Session) -> Vec<Running> {
        match self.mode {
            Mode::Off => Vec::new(),
            _ => remaining::processes(&session.place()),
        }
    }

    /// Those that ran `before` the recordings were read, and those that run now: what they did in
    /// between is not in the report either.
    fn and_running(&self, mut before: Vec<Running>, session: &Session) -> Vec<Running> {
        for process in self.running(session) {
            match before.iter_mut().find(|known| known.pid == process.pid) {
                Some(known) => *known = process,
                None => before.push(process),
            }
        }
        before
    }

    fn report(
        self,
        session: Session,
        places: Places,
        mut output: Output,
        wish: &Wish,
        options: &RunOptions,
        wanted: &ReportOptions,
    ) -> Result<u8, Failure> {
        let before = self.running(&session);
        let (recordings, snapshots) = snapshots::apart(session.recordings().unwrap_or_default());
        let wish = &Wish {
            main: Some(self.pid),
            ..wish.clone()
        };
        let mut harvested = harvest(&recordings, &mut output, wish);
        let running = self.and_running(before, &session);
        if let Ok(harvest) = &mut harvested {
            harvest.unreached = session.unreached();
            harvest.unseen_ends = ends::unseen(&harvest.heads, &running, self.killed());
            harvest.unrecorded = self.unrecorded(harvest);
            harvest.peak_rss = sys::peak_rss_of_children();
            if !wanted.no_command_line {
                let words: Vec<_> = self
                    .command
                    .iter()
                    .map(|word| word.to_string_lossy())
                    .collect();
                harvest.set_command(words.iter().map(|word| &**word));
            }
        }
        let code = match &harvested {
            Ok(harvest) if harvest.processes.is_empty() && harvest.unreadable.is_empty() => {
                match &harvest.unreached {
                    Some(why) => say(format_args!("nothing was recorded: {why}")),
                    None => self.say_why_there_is_nothing(),
                }
                match output.write_nothing(wish.kind) {
                    Err(error) => self.without_report(&HarvestError::Write(error)),
                    Ok(()) => reporting::status(self.status, harvest, wanted),
                }
            }
            Ok(harvest) => {
                reporting::summarize(harvest, wanted, &output);
                reporting::push(harvest, wanted, &output);
                match self.signal {
                    None => reporting::status(self.status, harvest, wanted),
                    Some(_) => self.status,
                }
            }
            Err(error) => self.without_report(error),
        };
        let kept = snapshots::keep(snapshots, &output, wanted.quiet);
        if let Err(error) = &kept {
            say(format_args!("cannot keep the snapshots: {error}"));
        }
        let in_use = !running.is_empty();
        if in_use {
            places.keep();
        }
        let is_hurried = harvested.as_ref().is_ok_and(|harvest| harvest.is_hurried);
        if is_hurried {
            say(format_args!(
                "a signal shortened the report: some functions are shown as addresses"
            ));
        }
        if in_use || options.keep || is_hurried || harvested.is_err() || kept.is_err() {
            let is_left = in_use && !options.keep;
            say_where_recordings_are(&session.keep(self.pid, is_left), &running, is_left);
        }
        Ok(code)
    }

    /// The command's own program, where it was to be profiled and only others were recorded.
    fn unrecorded(&self, harvest: &Harvest) -> Option<PathBuf> {
        let is_recorded = harvest.heads.iter().any(|head| head.pid == self.pid);
        (self.profiled && self.mode != Mode::Off && !is_recorded).then(|| self.target.path.clone())
    }

    /// Says why there is no report. Returns the exit status.
    fn without_report(&self, error: &HarvestError) -> u8 {
        say(format_args!("{error}"));
        // The program's own failure is the more important one.
        match self.status {
            0 => Code::Failed as u8,
            status => status,
        }
    }

    /// Nothing was recorded: not an error, but not to be passed over either.
    fn say_why_there_is_nothing(&self) {
        let name = term::path(&self.target.path);
        if self.mode == Mode::Off {
            say(format_args!("nothing was profiled, because {PROFILE} is 0"));
        } else if !self.profiled {
            say(format_args!(
                "nothing was profiled: {name} itself is left out (by default, shells and programs that only \
                 start others) and started no program that could be profiled; \
                 {PROGRAMS} or --programs says which programs are, --programs '*' is all"
            ));
        } else {
            say(format_args!(
                "nothing was recorded: the library did not start in {name}; did it start with an empty \
                 environment, or is there no room for the recording?"
            ));
        }
    }
}

fn say_where_recordings_are(folder: &Path, running: &[Running], is_left: bool) {
    for process in running {
        let exe = crate::terminal::term::printable(&process.exe);
        let what = match process.is_recorded {
            true => "is still recorded",
            false => "what it starts is recorded",
        };
        say(format_args!(
            "process {} ({exe}) is still running, and {what}",
            process.pid
        ));
    }
    let path = term::path(folder);
    let again = match is_left {
        false => "reports them again",
        true => {
            "reports them, and removes them when all processes have ended (--wait waits for that)"
        }
    };
    say(format_args!(
        "the recordings are kept in {path}; `skip-heapprof report {path}` {again}"
    ));
}

/// Writes a line to standard error.
fn say(what: std::fmt::Arguments<'_>) {
    term::say(&format!("skip-heapprof: {what}\n"));
}

fn refused(why: target::Refusal) -> Failure {
    Failure {
        code: why.code(),
        error: why.into(),
    }
}

fn display(wanted: &ReportOptions) -> String {
    term::path(wanted.output.as_deref().unwrap_or(Path::new("")))
}

/// As shells have it: the program's own, or 128 and the number of the signal that killed it.
fn exit_status(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => code as u8,
        (None, Some(signal)) => 128_u8.wrapping_add(signal as u8),
        (None, None) => Code::Failed as u8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_added_to_128() {
        assert_eq!(exit_status(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(exit_status(ExitStatus::from_raw(255 << 8)), 255);
        assert_eq!(exit_status(ExitStatus::from_raw(libc::SIGKILL)), 137);
        assert_eq!(exit_status(ExitStatus::from_raw(libc::SIGSEGV | 0x80)), 139);
    }

    #[test]
    fn launchers_are_not_profiled_but_may_be_asked_for() {
        let sh = target::find("sh".as_ref()).expect("sh");
        let settings = |programs: Option<&str>| {
            let options = RunOptions {
                programs: programs.map(Into::into),
                ..RunOptions::default()
            };
            Settings::new(&options, &ReportOptions::default(), false)
        };
        assert!(!settings(Some("jq")).profiles(&sh, b""));
        assert!(settings(Some("*")).profiles(&sh, b""));
        assert!(settings(Some("dash,sh")).profiles(&sh, b""));
    }
}
