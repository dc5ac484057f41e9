//! Processes whose end the library did not see. A signal killed them; or they ended without their C
//! library, as Go programs do, and nothing is missing; or they replaced themselves
//! by a program that cannot be followed, because the environment did not go with it, because it is
//! static, because it is left out, or because a filter of system calls (seccomp) that it inherited has it
//! create no files. What such a program does is in no report, so that it is said.

use crate::harvest::Harvest;
use crate::load::Head;
use crate::remaining::Running;
use crate::terminal::term::{counted, grouped, printable};
use std::collections::HashSet;

/// Processes that are named.
const NAMED: usize = 3;

/// Ids of the processes whose end nobody saw, in the order in which they began. Not among them are
/// those of `running`, the one that is known to have been `killed`, and those whose last program
/// was recorded as well: a process that executes another program keeps its id.
///
/// `heads` are in the order in which the recordings began.
pub(crate) fn unseen(heads: &[Head], running: &[Running], killed: Option<u32>) -> Vec<u32> {
    let explained: HashSet<u32> = running.iter().map(|process| process.pid).collect();
    let mut has_successor = HashSet::new();
    let mut unseen: Vec<u32> = heads
        .iter()
        .rev()
        .filter(|head| has_successor.insert(head.pid) && !head.finished)
        .map(|head| head.pid)
        .filter(|pid| !explained.contains(pid) && killed != Some(*pid))
        .collect();
    unseen.reverse();
    unseen
}

/// What the summary says of them; `None` when all is known.
pub(crate) fn text(harvest: &Harvest) -> Option<String> {
    let unseen = &harvest.unseen_ends;
    let name = |&pid: &u32| {
        // The program that ran last under this id.
        let process = harvest.processes.iter().rfind(|process| process.pid == pid);
        // Of one without allocations there is no more than its head.
        let head = || harvest.heads.iter().rfind(|head| head.pid == pid);
        let program = process.map(|process| &process.program);
        let program = program.or_else(|| head().map(|head| &head.program));
        let program = program.map_or("?".into(), |program| printable(program));
        format!("{program} {pid}")
    };
    let mut names: Vec<String> = unseen.iter().take(NAMED).map(name).collect();
    let more = unseen.len() - names.len();
    if more > 0 {
        names.push(format!("and {} more", grouped(more as u64)));
    }
    (!unseen.is_empty()).then(|| {
        format!(
            "the end of {} ({}) was not seen: killed, ended by a bare system call (as in Go programs), \
             or replaced by exec with a program that was not recorded (its environment was \
             emptied, it is static, it is left out, or it must not create files)",
            counted(unseen.len() as u64, "process", "processes"),
            names.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harvest::Process;

    fn head(pid: u32, finished: bool) -> Head {
        Head {
            path: format!("/{pid}").into(),
            start_ns: 0,
            pid,
            ppid: 1,
            finished,
            snapshot: false,
            program: String::new(),
        }
    }

    #[test]
    fn only_the_last_program_of_a_process_counts() {
        let heads = [
            head(1, false),
            head(2, false),
            head(1, true),
            head(3, false),
            head(4, false),
            head(4, false),
            head(5, false),
        ];
        let running = [Running {
            pid: 5,
            exe: String::new(),
            is_recorded: true,
        }];
        assert_eq!(unseen(&heads, &running, Some(3)), [2, 4]);
        assert_eq!(unseen(&heads, &[], None), [2, 3, 4, 5]);
        assert_eq!(unseen(&heads[2..3], &[], None), [0; 0]);
    }

    #[test]
    fn some_are_named() {
        let process = |pid| Process {
            program: "perl".into(),
            pid,
            ..Process::default()
        };
        let mut harvest = Harvest {
            processes: (1..=5).map(process).collect(),
            ..Harvest::default()
        };
        assert_eq!(text(&harvest), None);
        harvest.unseen_ends = vec![2];
        let said = text(&harvest).expect("a note");
        assert!(
            said.starts_with("the end of 1 process (perl 2) was not seen"),
            "{said}"
        );
        harvest.unseen_ends = vec![1, 2, 3, 4, 9];
        let said = text(&harvest).expect("a note");
        assert!(
            said.starts_with("the end of 5 processes (perl 1, perl 2, perl 3, and 2 more) was"),
            "{said}"
        );
    }
}
