//! The command line. Options know no command.

pub(crate) mod check;
pub(crate) mod diff;
mod local_path;
pub(crate) mod look;
pub(crate) mod merge;
pub(crate) mod push;
pub(crate) mod push_target;
pub(crate) mod top;
pub(crate) mod tree;

use crate::following::{Following, Needs};
use crate::labels::{self, Label};
use crate::shape::Shape;
use crate::terminal::paint::When;
use crate::version;
use check::CheckOptions;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use diff::DiffOptions;
use local_path::local_path;
use look::Look;
use merge::MergeOptions;
use push::PushOptions;
use skipheap_config::settings::{ALLOCATORS, HOOKS, KEEP, PROFILE, PROGRAMS, TRIM, VERIFY};
use skipheap_profile::tree as call_tree;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use top::TopOptions;

/// Profiles the heap of a program: counts every allocation by call site, exactly.
///
/// Runs PROGRAM, prints a summary on standard error when it ends, and writes all call sites to a
/// CSV file. Arguments after PROGRAM are passed to it. Use `skip-heapprof run -- PROGRAM` if the
/// program has the same name as one of the commands below.
#[derive(Parser, Debug)]
#[command(
    name = "skip-heapprof",
    version = env!("SKIPHEAP_VERSION"),
    long_version = version::long(),
    override_usage = "skip-heapprof [OPTIONS] PROGRAM [ARGUMENTS]...\n       skip-heapprof [OPTIONS] COMMAND",
    after_help = "Try `skip-heapprof --help` for the environment variables and the exit status.",
    after_long_help = LONG_HELP,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) report: ReportOptions,
    #[command(flatten)]
    pub(crate) run: RunOptions,
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
    /// The program to run and its arguments.
    #[arg(value_name = "PROGRAM", trailing_var_arg = true, hide = true)]
    pub(crate) command: Vec<OsString>,
}

impl Cli {
    /// What to do. Ends the tool with a message when the line names neither program nor verb.
    pub(crate) fn verb(self) -> Verb {
        let to_stdout = self.report.output.as_deref() == Some(Path::new("-"));
        if to_stdout && self.report.merge == Some(Merge::Program) {
            let why = "--merge=program writes several files, and standard output takes one";
            Cli::command()
                .error(ErrorKind::ArgumentConflict, why)
                .exit()
        }
        if let Some(why) = self.report.conflict() {
            Cli::command()
                .error(ErrorKind::ArgumentConflict, why)
                .exit()
        }
        let misplaced = self
            .verb
            .as_ref()
            .and_then(|verb| self.report.misplaced(verb));
        if let Some(why) = misplaced {
            Cli::command()
                .error(ErrorKind::ArgumentConflict, why)
                .exit()
        }
        // What gives the status has to be looked for.
        let shape = &self.report.shape;
        let checks_leaks = shape.leak_exit_code.is_some() || shape.gen_suppressions;
        match self.verb {
            Some(Verb::Run { options, command }) => Verb::Run {
                options: options.or(self.run).and_leak_check(checks_leaks),
                command,
            },
            Some(Verb::Check(mut check)) => {
                check.run = check.run.or(self.run);
                Verb::Check(check)
            }
            Some(_) if self.run.is_any() => Cli::command()
                .error(
                    ErrorKind::ArgumentConflict,
                    "this command accepts report options, but not run options",
                )
                .exit(),
            Some(Verb::Merge(_)) if !self.report.goes_with_merge() => Cli::command()
                .error(
                    ErrorKind::ArgumentConflict,
                    "`merge` does not accept --merge, --timeline, --suppressions, --gen-suppressions or --leak-exit-code: they apply to \
                     single runs",
                )
                .exit(),
            Some(verb) => verb,
            None if self.command.is_empty() => Cli::command()
                .error(ErrorKind::MissingRequiredArgument, "no program given")
                .exit(),
            None => Verb::Run {
                options: self.run.and_leak_check(checks_leaks),
                command: self.command,
            },
        }
    }
}

const LONG_HELP: &str = "\
Environment variables. Those with the name of an option also apply to the library alone
(LD_PRELOAD=libskipheap.so PROGRAM):
  SKIP_HEAP_PROFILE   as --profile
  SKIP_HEAP_PROGRAMS  as --programs
  SKIP_HEAP_TRIM      as --trim
  SKIP_HEAP_HOOKS     as --hook, several separated by `;`
  SKIP_HEAP_ALLOCATORS  as --allocators
  SKIP_HEAP_KEEP      1: as --keep
  SKIP_HEAP_QUIET     1: print only losses and requested results
  SKIP_HEAP_VERIFY    as --verify
  SKIP_HEAP_STACK_DEPTH  as --stack-depth
  SKIP_HEAP_LIVE      1: as --live
  SKIP_HEAP_LEAK_CHECK  1: as --leak-check
  SKIP_HEAP_SUPPRESSIONS  as --suppressions
  SKIP_HEAP_SAMPLE    as --sample
  SKIP_HEAP_STOPPED   1: as --stopped
  SKIP_HEAP_COLUMNS   as --columns
  SKIP_HEAP_PYROSCOPE_TOKEN, SKIP_HEAP_PARCA_TOKEN  for --push, not inherited by the program
  SKIP_HEAP_DEBUGINFOD_TIMEOUT  seconds that a report waits for debuginfod in total [default: 10]
  SKIP_HEAP_SESSION   set by the tool: the folder for the recordings of all processes
  SKIP_HEAP_SESSION_OTHERS  set by the tool as root: the folder for recordings of other users
  TMPDIR              the folder for recordings and CSV files [default: /tmp]
Options override variables.

Exit status: that of the program, or 128 + N if signal N killed it; 127 if the program was not
found, 126 if it could not be executed, 125 if the profiler failed or the program cannot be
profiled (it is then not run), 2 for an invalid command line, an invalid variable, or a recording
that cannot be read.

Signals to the tool are forwarded to the program. After the program has ended, a second signal
shortens the report: names that are not resolved yet are left out. A third one cancels it.

Examples:
  skip-heapprof jq -n '[range(1000)]'         the largest sites as a table, all sites as CSV
  skip-heapprof -o run.html --live ./program  a page for the browser
  skip-heapprof -o run.skipheap ./program     a profile, from which all reports can be made later
  skip-heapprof report --tree run.skipheap    the call tree
  skip-heapprof --leak-check ./program        blocks that no pointer leads to at the end
  skip-heapprof diff old.csv new.csv          new, gone, grown and shrunk sites";

/// What is done with recordings: for `run` and `report`.
#[derive(Args, Debug, Default, Clone)]
#[command(next_help_heading = "Output")]
pub(crate) struct ReportOptions {
    /// Write the report to FILE instead of a new CSV file in TMPDIR or /tmp.
    ///
    /// The extension of FILE selects the format. The report of each further process of the run gets
    /// its program's name and process id before the extension; without this option, it is in a
    /// folder beside the new file. `-` is standard output, and implies --merge.
    #[arg(short, long, value_name = "FILE", global = true, value_parser = local_path())]
    pub(crate) output: Option<PathBuf>,
    /// Write one CSV for all processes instead of one per process; with `=program`, one per
    /// program.
    #[arg(long, value_name = "HOW", global = true, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "all", hide_possible_values = true)]
    pub(crate) merge: Option<Merge>,
    /// Print no summary.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Take names and lines from the object and debug files below DIR; may be repeated.
    ///
    /// For profiles and recordings from other machines, or of stripped programs. A file is used if
    /// its build id is that of the module. If DEBUGINFOD_URLS is set, missing files are requested
    /// from debuginfod, for at most 10 seconds in total (SKIP_HEAP_DEBUGINFOD_TIMEOUT).
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) symbols: Vec<PathBuf>,
    /// Label the run in profiles, Parquet, pprof, JSON and pushes; may be repeated. An empty VALUE
    /// removes a label.
    ///
    /// Runs in GitHub and GitLab CI jobs are labelled with commit, branch and job by default.
    #[arg(long, value_name = "KEY=VALUE", global = true, value_parser = labels::parse)]
    pub(crate) label: Vec<Label>,
    /// Leave command lines out of profiles and reports.
    ///
    /// By default they are included, with apparent secrets redacted (see docs/secrets.md).
    #[arg(long, global = true)]
    pub(crate) no_command_line: bool,
    #[command(flatten)]
    pub(crate) push: PushOptions,
    #[command(flatten)]
    pub(crate) shape: Shape,
    #[command(flatten)]
    pub(crate) look: Look,
}

impl ReportOptions {
    /// Returns whether none of the options is about single runs.
    fn goes_with_merge(&self) -> bool {
        let shape = &self.shape;
        self.merge.is_none()
            && shape.timeline.is_none()
            && shape.suppressions.is_none()
            && shape.leak_exit_code.is_none()
            && !shape.gen_suppressions
    }
}

impl ReportOptions {
    /// Options that `check` and `diff` have no use for, in a sentence. Who gives `--suppressions`
    /// to a check must not believe that they are looked at.
    fn misplaced(&self, verb: &Verb) -> Option<String> {
        let name = match verb {
            Verb::Check(_) => "check",
            Verb::Diff(_) => "diff",
            _ => return None,
        };
        let shape = &self.shape;
        let given = [
            ("--leak-exit-code", shape.leak_exit_code.is_some()),
            ("--gen-suppressions", shape.gen_suppressions),
            ("--timeline", shape.timeline.is_some()),
            ("--suppressions", shape.suppressions.is_some()),
            ("--push", self.push.is_wanted()),
            ("--symbols", !self.symbols.is_empty()),
            ("--label", !self.label.is_empty()),
            ("--tree", self.look.tree.tree.is_some()),
            // `check` says more of it.
            ("--merge", self.merge.is_some() && name == "diff"),
        ];
        let given = given.iter().filter(|(_, is_given)| *is_given);
        let options: Vec<&str> = given.map(|(option, _)| *option).collect();
        (!options.is_empty()).then(|| {
            format!(
                "`{name}` does not accept {}; runs and reports do",
                options.join(" or ")
            )
        })
    }

    /// What is wrong with the options together.
    fn conflict(&self) -> Option<&'static str> {
        let tree = &self.look.tree;
        if tree.is_idle() {
            return Some("--min-share and --depth need --tree");
        }
        let output = self.output.as_deref();
        self.shape.conflict(output, tree.tree.is_some())
    }

    /// The call tree that is wanted.
    pub(crate) fn tree(&self) -> Option<call_tree::Wish> {
        let style = self.shape.style();
        let tree = &self.look.tree;
        tree.wish(style.value, style.fold_recursion, style.lines)
    }

    /// The file that is named for the report; `None` for standard output, too.
    pub(crate) fn output_file(&self) -> Option<&Path> {
        let output = self.output.as_deref();
        output.filter(|path| *path != Path::new("-"))
    }

    /// The files that are named to be written, the report's first.
    pub(crate) fn files(&self) -> Vec<&Path> {
        self.output_file()
            .into_iter()
            .chain(self.shape.timeline.as_deref())
            .collect()
    }

    /// Whether there are colours.
    pub(crate) fn color(&self) -> When {
        self.look.color.unwrap_or_default()
    }

    /// What a run has to record.
    pub(crate) fn needs(&self) -> Needs {
        let needs = self.shape.needs(self.output.as_deref());
        let tree = self.tree();
        let of_tree = tree.is_some_and(|tree| tree.value.needs_live());
        Needs {
            whole_stacks: needs.whole_stacks || tree.is_some(),
            live: needs.live || of_tree || self.look.sort().needs_live(),
        }
    }
}

/// The values of `--merge`.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Merge {
    /// One CSV for all processes.
    All,
    /// One for all processes of a program.
    Program,
}

/// What the library is told.
#[derive(Args, Debug, Default, Clone)]
#[command(next_help_heading = "Recording")]
pub(crate) struct RunOptions {
    /// Profile only programs whose names match GLOBS, separated by commas; `!GLOB` excludes
    /// (SKIP_HEAP_PROGRAMS).
    ///
    /// The default leaves out shells and launchers that only start other programs (sh, env, ...).
    /// It also leaves out make, gdb and similar programs unless they are the command itself. `*` is
    /// all programs, `!perl` all but perl.
    #[arg(long, value_name = "GLOBS")]
    pub(crate) programs: Option<OsString>,
    /// Leave functions that match GLOBS out of the stacks, as is done with operator new
    /// (SKIP_HEAP_TRIM).
    ///
    /// Use it for your own allocation wrappers: their callers become the call sites.
    #[arg(long, value_name = "GLOBS")]
    pub(crate) trim: Option<OsString>,
    /// 0: profile nothing, 1: every program except the Skip compiler, 2: the compiler too
    /// (SKIP_HEAP_PROFILE; default: 1).
    #[arg(long, value_name = "N", hide_possible_values = true)]
    pub(crate) profile: Option<Profile>,
    /// Also count calls of a function: NAME(size=arg0) (SKIP_HEAP_HOOKS).
    ///
    /// For allocators that are linked into the program. NAME is a symbol or a glob. The size is a
    /// product of numbers and of the arguments arg0 to arg5, as in `my_calloc(size=arg0*arg1)` or
    /// `pool_take(size=64)`. A call from one hooked function to another is not counted again,
    /// unless the specification says `NAME(size=..., nested=all)`. May be repeated; `;` separates
    /// several.
    #[arg(long, value_name = "SPEC")]
    pub(crate) hook: Vec<String>,
    /// Which allocators to report: auto, all, none, or some of malloc, obstack, persistent,
    /// jemalloc, mimalloc, tcmalloc, separated by commas (SKIP_HEAP_ALLOCATORS).
    ///
    /// auto: only the ObStack for a Skip program; otherwise malloc and its relatives, and the
    /// allocators that are linked into the program. persistent: the persistent heap of Skip
    /// programs (sk_palloc).
    #[arg(long, value_name = "NAMES")]
    pub(crate) allocators: Option<OsString>,
    /// Wait for all processes of the run, including daemons.
    ///
    /// By default, recordings of processes that still run are left for `skip-heapprof report`. A
    /// signal to the tool ends the wait, and the tool reports what has been recorded so far.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Keep the recordings and say where they are (SKIP_HEAP_KEEP).
    ///
    /// `skip-heapprof report` turns them into the same CSV files again.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Compare one stack in N with a second unwinder, and report how often they disagree
    /// (SKIP_HEAP_VERIFY).
    ///
    /// This tests the profiler itself, and makes each allocation slower.
    #[arg(long, value_name = "1/N")]
    pub(crate) verify: Option<OsString>,
    #[command(flatten)]
    pub(crate) following: Following,
}

/// The values of `--profile`.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Nothing.
    #[value(name = "0")]
    Nothing,
    /// Programs.
    #[value(name = "1")]
    Programs,
    /// The Skip compiler too.
    #[value(name = "2")]
    CompilerToo,
}

impl Profile {
    fn value(self) -> &'static str {
        match self {
            Self::Nothing => "0",
            Self::Programs => "1",
            Self::CompilerToo => "2",
        }
    }
}

impl RunOptions {
    /// These options, and those of `outer` where they are silent.
    pub(crate) fn or(self, outer: Self) -> Self {
        Self {
            programs: self.programs.or(outer.programs),
            trim: self.trim.or(outer.trim),
            profile: self.profile.or(outer.profile),
            hook: [outer.hook, self.hook].concat(),
            allocators: self.allocators.or(outer.allocators),
            wait: self.wait || outer.wait,
            keep: self.keep || outer.keep,
            verify: self.verify.or(outer.verify),
            following: self.following.or(outer.following),
        }
    }

    /// These options, and `--leak-check` if that is needed.
    fn and_leak_check(mut self, is_needed: bool) -> Self {
        self.following.leak_check |= is_needed;
        self
    }

    /// The variables that tell the library.
    pub(crate) fn variables(&self) -> Vec<(&'static str, OsString)> {
        let mut variables = Vec::new();
        let given = [
            (PROGRAMS, self.programs.clone()),
            (TRIM, self.trim.clone()),
            (PROFILE, self.profile.map(|profile| profile.value().into())),
            (
                HOOKS,
                (!self.hook.is_empty()).then(|| self.hook.join(";").into()),
            ),
            (ALLOCATORS, self.allocators.clone()),
            (KEEP, self.keep.then(|| "1".into())),
            (VERIFY, self.verify.clone()),
        ];
        for (name, value) in given {
            variables.extend(value.map(|value| (name, value)));
        }
        variables.extend(self.following.variables());
        variables
    }

    /// Returns whether any of the options was given.
    pub(crate) fn is_any(&self) -> bool {
        self.wait || !self.variables().is_empty()
    }
}

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum Verb {
    /// Run a program, even if it has the name of a command.
    #[command(override_usage = "skip-heapprof run [OPTIONS] [--] PROGRAM [ARGUMENTS]...")]
    Run {
        #[command(flatten)]
        options: RunOptions,
        /// The program and its arguments.
        #[arg(value_name = "PROGRAM", required = true)]
        #[arg(trailing_var_arg = true)]
        command: Vec<OsString>,
    },
    /// Report on recordings and profiles, also of processes that were killed or still run.
    Report {
        /// Recordings (*.skipheap-rec), profiles (*.skipheap), or folders of recordings.
        #[arg(value_name = "RECORDING", required = true)]
        recordings: Vec<PathBuf>,
        /// Treat functions that match GLOBS as plumbing: their callers are responsible for what they
        /// allocate.
        #[arg(long, value_name = "GLOBS")]
        trim: Vec<String>,
    },
    /// Compare two runs: show new, gone, grown and shrunk sites.
    ///
    /// Sites are matched by name, even if lines, addresses, hashes and build folders have changed.
    /// -o FILE writes .csv, .json, .md, .folded (two numbers per stack) or .skipheap; the default
    /// is a table.
    #[command(override_usage = "skip-heapprof diff [OPTIONS] OLD NEW")]
    Diff(DiffOptions),
    /// Fail if a program allocates more than its baseline or budgets allow, for CI.
    ///
    /// Exit status: 0 within the limits, 1 for a regression, 2 for an invalid command line or an
    /// unusable file, 3 if the data cannot be compared (the program failed, something was not
    /// recorded, ...).
    #[command(
        override_usage = "skip-heapprof check [OPTIONS] --baseline FILE -- PROGRAM [ARGUMENTS]...\n       \
                          skip-heapprof check [OPTIONS] --baseline FILE REPORT..."
    )]
    Check(Box<CheckOptions>),
    /// Combine many runs into one profile.
    ///
    /// Sites with the same stack (by name), size, allocation function and thread are summed over
    /// all runs of a program. Without --output and --format, the result is a new profile
    /// (*.skipheap).
    Merge(MergeOptions),
    /// Watch the call sites of a running process.
    Top(TopOptions),
    /// Write what a running process has recorded so far to a file, and print its path.
    ///
    /// The process is not interrupted. `skip-heapprof report` and `skip-heapprof diff` read the
    /// file.
    Snapshot {
        /// The process.
        pid: u32,
    },
    /// Resume recording in a running process.
    Start {
        /// The process.
        pid: u32,
    },
    /// Pause recording in a running process until `start`.
    ///
    /// Blocks that are already tracked are tracked until they are freed.
    Stop {
        /// The process.
        pid: u32,
    },
    /// Print the path of libskipheap.so, for use with LD_PRELOAD.
    Library,
    /// Print the completion script for a shell.
    ///
    /// For bash: `skip-heapprof completions bash >
    /// ~/.local/share/bash-completion/completions/skip-heapprof`.
    Completions {
        /// bash, zsh, fish, elvish or powershell.
        #[arg(hide_possible_values = true)]
        shell: clap_complete::Shell,
    },
    /// Print the licences of everything that is linked into the tool and the library.
    Licenses,
    /// Print the manual page: `skip-heapprof man > skip-heapprof.1; man ./skip-heapprof.1`.
    Man,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    fn parse(line: &str) -> Cli {
        Cli::try_parse_from(line.split_whitespace()).unwrap_or_else(|e| panic!("{line}: {e}"))
    }

    fn run(line: &str) -> (RunOptions, Vec<OsString>) {
        match parse(line).verb() {
            Verb::Run { options, command } => (options, command),
            other => panic!("{line}: {other:?}"),
        }
    }

    fn program(line: &str) -> Vec<OsString> {
        run(line).1
    }

    #[test]
    fn everything_behind_the_program_is_its_own() {
        assert_eq!(
            program("s jq -n -o x --help"),
            ["jq", "-n", "-o", "x", "--help"]
        );
        assert_eq!(program("s -o f jq report"), ["jq", "report"]);
        assert_eq!(program("s jq -- -x"), ["jq", "--", "-x"]);
        assert_eq!(program("s -- jq -x"), ["jq", "-x"]);
        assert_eq!(program("s run jq -q -- run"), ["jq", "-q", "--", "run"]);
    }

    #[test]
    fn run_reaches_programs_that_are_named_like_a_verb() {
        assert_eq!(program("s run -- diff a b"), ["diff", "a", "b"]);
        assert_eq!(program("s run report -o x"), ["report", "-o", "x"]);
        assert_eq!(program("s run -- -odd name"), ["-odd", "name"]);
        assert_eq!(program("s -- report x"), ["report", "x"]);
    }

    #[test]
    fn options_stand_before_or_behind_the_verb() {
        for line in [
            "s -o f -q run jq",
            "s run -o f -q jq",
            "s -q run -o f -- jq",
        ] {
            let cli = parse(line);
            assert_eq!(cli.report.output.as_deref(), Some("f".as_ref()), "{line}");
            assert!(cli.report.quiet, "{line}");
        }
        for line in ["s --trim f* run --keep jq", "s --keep run --trim f* jq"] {
            let variables = run(line).0.variables();
            assert_eq!(
                variables,
                [(TRIM, "f*".into()), (KEEP, "1".into())],
                "{line}"
            );
        }
    }

    #[test]
    fn merge_takes_a_way_but_no_word_of_the_program() {
        let merge = |line: &str| parse(line).report.merge;
        assert_eq!(merge("s jq --merge"), None);
        assert_eq!(merge("s --merge jq program"), Some(Merge::All));
        assert_eq!(merge("s --merge=all jq"), Some(Merge::All));
        assert_eq!(merge("s run --merge=program jq"), Some(Merge::Program));
        assert!(Cli::try_parse_from(["s", "--merge=pid", "jq"]).is_err());
    }

    #[test]
    fn what_a_command_has_no_use_for_is_refused() {
        let misplaced = |line: &str| {
            let cli = parse(line);
            cli.report.misplaced(cli.verb.as_ref().expect("a command"))
        };
        for option in [
            "--leak-exit-code 1",
            "--timeline t.csv",
            "--suppressions s",
            "--symbols d",
            "--push pyroscope+http://localhost:1/a",
            "--tree",
        ] {
            let name = option.split(' ').next().expect("a name");
            for (line, command) in [("check --baseline b -- p", "check"), ("diff a b", "diff")] {
                let said = misplaced(&format!("s {option} {line}")).expect(option);
                assert!(
                    said.starts_with(&format!("`{command}` does not accept {name};")),
                    "{said}"
                );
            }
            assert_eq!(misplaced(&format!("s {option} report x")), None);
        }
        assert_eq!(misplaced("s check --live --baseline b -- p"), None);
        assert!(misplaced("s --merge diff a b").is_some());
    }

    #[test]
    fn a_status_for_leaks_needs_them_looked_for() {
        for line in ["s --leak-exit-code 3 jq", "s run --leak-exit-code 3 jq"] {
            assert!(run(line).0.following.leak_check, "{line}");
        }
        assert!(!run("s jq").0.following.leak_check);
        // A report can look for none.
        assert!(matches!(
            parse("s report --leak-exit-code 3 x").verb(),
            Verb::Report { .. }
        ));
    }

    #[test]
    fn an_inner_option_has_the_last_word() {
        let options = run("s --profile 0 run --profile 2 jq").0;
        assert_eq!(options.variables(), [(PROFILE, "2".into())]);
    }

    #[test]
    fn wrong_lines_are_refused() {
        let kind = |line: &str| {
            Cli::try_parse_from(line.split_whitespace())
                .map(|cli| panic!("{cli:?}"))
                .unwrap_or_else(|error| error.kind())
        };
        for line in ["s --bogus jq", "s run --bogus jq"] {
            assert_eq!(kind(line), ErrorKind::UnknownArgument, "{line}");
        }
        assert_eq!(kind("s --profile 3 jq"), ErrorKind::InvalidValue);
        assert_eq!(kind("s report"), ErrorKind::MissingRequiredArgument);
        assert_eq!(kind("s run"), ErrorKind::MissingRequiredArgument);
    }

    #[test]
    fn arguments_need_not_be_text() {
        let odd = OsString::from_vec(b"a\xff\n".to_vec());
        let line: [OsString; 5] = [
            "s".into(),
            "-o".into(),
            odd.clone(),
            odd.clone(),
            odd.clone(),
        ];
        let cli = Cli::try_parse_from(line).expect("parsed");
        assert_eq!(cli.report.output.as_deref(), Some(odd.as_ref()));
        assert_eq!(cli.command, [odd.clone(), odd]);
    }
}
