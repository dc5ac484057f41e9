//! What a process sees of itself: nothing of it changes.

use super::{programs_lines, same_as_plain};
use crate::support::{Outcome, Source};

fn host(how: &str) -> Outcome {
    let program = Source::c("torture_host")
        .flags(&["-pthread", "-Wno-deprecated-declarations", "-fno-builtin"])
        .build();
    same_as_plain(|run| run.arg(how), &program)
}

/// errno before and after each function, in cases of success and failure, is part of the output.
#[test]
fn errno_is_what_it_was() {
    let outcome = host("errno");
    assert!(
        outcome.stdout.contains("malloc(10): done, errno 92 -> 92"),
        "{outcome:?}"
    );
    assert!(
        outcome
            .stdout
            .contains("malloc(huge): null, errno 92 -> 12"),
        "{outcome:?}"
    );
    assert_eq!(outcome.report().calls_by("ask"), 100);
}

/// Signal mask and handlers, environment, descriptors, umask, timers, limits, name, scheduling,
/// number of threads, pending signals: all are part of the output.
#[test]
fn the_state_of_the_process_is_what_it_was() {
    let outcome = host("state");
    assert!(outcome.stdout.contains("threads 2"), "{outcome:?}");
    assert!(outcome.stdout.contains("pending 0"), "{outcome:?}");
    assert_eq!(outcome.report().calls_by("ask"), 1100);
}

/// A process with few descriptors, or one that is to be quiet, has none of ours: it may count on all of them.
#[test]
fn no_descriptor_of_ours_is_open_where_it_could_be_in_the_way() {
    use crate::support::Run;
    type Arrange = fn(Run) -> Run;
    let arrangements: [Arrange; 3] = [
        |run| run.limit(libc::RLIMIT_NOFILE, 29),
        |run| {
            run.limit(libc::RLIMIT_NOFILE, 1000)
                .env("SKIP_HEAP_LIVE", "1")
        },
        |run| run.env("SKIP_HEAP_QUIET", "1"),
    ];
    for arrange in arrangements {
        let list = |run: Run| arrange(run).arg("/proc/self/fd");
        let outcome = same_as_plain(list, std::path::Path::new("/bin/ls"));
        assert!(outcome.stdout.contains("\n2\n"), "{outcome:?}");
        assert!(outcome.status.success(), "{outcome:?}");
    }
}

#[test]
fn nothing_is_printed_but_the_promised_lines() {
    let outcome = host("silent");
    assert_eq!(outcome.stdout, "");
    assert_eq!(programs_lines(&outcome.stderr), Vec::<&str>::new());
    assert_eq!(outcome.stderr.lines().count(), 3, "{outcome:?}");
    assert_eq!(outcome.status.code(), Some(3));
}
