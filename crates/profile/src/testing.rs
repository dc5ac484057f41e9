//! Profiles for tests.

use super::intern::Tables;
use super::*;
use crate::report::figures::{Figures, LiveSums};
use crate::report::leaked::Leaked;
use skipheap_format::cause::Cause;
use skipheap_format::loss::Loss;

/// `(functions outermost first, size, calls, frees)`; what is at the peak is what is left.
pub type TestSite<'a> = (&'a [&'a str], u64, u64, u64);

/// A profile of one process, `program`, with blocks followed.
pub fn of_sites(program: &str, sites: &[TestSite<'_>]) -> Profile {
    let mut tables = Tables::default();
    let program_path = format!("/usr/bin/{program}");
    let path = tables.string(&program_path);
    let module = tables.module(Module {
        path,
        build_id: vec![0xab, 0xcd],
    });
    let file = tables.string("src/main.c");
    let allocator = tables.string("malloc");
    let thread = tables.thread("main-thread");
    for (functions, size, calls, frees) in sites {
        let mut node = NONE;
        for (line, name) in (10..).zip(*functions) {
            let name = tables.string(name);
            let function = tables.function(Function { name, file, module });
            let frame = tables.frame(Frame {
                function,
                line,
                kind: FrameKind::Physical,
                address: u64::from(function) * 16 + 0x1000,
            });
            node = tables.node(node, frame);
        }
        tables.profile.sites.push(Site {
            node,
            size: *size,
            allocator,
            thread,
            process: 0,
            figures: Figures {
                calls: *calls,
                samples: *calls,
                variance: 0.0,
                live: Some(LiveSums {
                    followed: *calls,
                    frees: *frees,
                    at_peak: calls.saturating_sub(*frees) as i64,
                    ..LiveSums::default()
                }),
            },
            old: None,
        });
    }
    let text = |tables: &mut Tables, text| tables.string(text);
    let process = Process {
        program: tables.string(program),
        exe: path,
        command: vec![text(&mut tables, program), text(&mut tables, "-n")],
        pid: 100,
        ppid: 1,
        host: text(&mut tables, "host"),
        os: text(&mut tables, "Linux 6.1"),
        arch: text(&mut tables, "x86_64"),
        cpus: 2,
        start_ns: 1_700_000_000_000_000_000,
        end_ns: 1_700_000_001_000_000_000,
        finished: true,
        whole_stacks: true,
        stack_depth: 1024,
        live: Some(LiveProcess {
            peak_bytes: 5000,
            peak_ns: 1_700_000_000_500_000_000,
            timeline: vec![Point {
                ns: 500_000_000,
                allocations: 3,
                live_bytes: 5000,
                live_blocks: 2,
                rss: 1 << 20,
            }],
            ..LiveProcess::default()
        }),
        losses: vec![(Cause::Code(Loss::Internal.code()), 2)],
        ..Process::default()
    };
    tables.profile.processes.push(process);
    tables.profile
}

/// The profile of [`small`] with a leak check: of the first site, 1 block is directly and 5 are indirectly
/// lost, and of the third 1 directly.
pub fn leaky() -> Profile {
    let mut profile = small();
    for (site, (direct, indirect)) in profile
        .sites
        .iter_mut()
        .zip([(1, 5), (0, 0), (1, 0), (0, 0)])
    {
        if let Some(live) = &mut site.figures.live {
            live.leaked = Some(Leaked { direct, indirect });
        }
    }
    if let Some(live) = &mut profile.processes[0].live {
        live.leak_checked = true;
    }
    profile
}

/// A profile with four sites.
pub fn small() -> Profile {
    of_sites(
        "program",
        &[
            (&["main", "parse", "node_new"], 40, 10, 4),
            (&["main", "parse", "node_new"], 64, 1, 1),
            (&["main", "read"], 4096, 1, 0),
            (&["main", "parse", "list", "list", "push"], 16, 7, 7),
        ],
    )
}
