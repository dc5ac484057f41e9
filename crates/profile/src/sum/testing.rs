//! Profiles like those of a fleet, for tests and benchmarks.

use super::super::intern::Tables;
use super::super::{Frame, FrameKind, Function, LiveProcess, Module, NONE, Process, Profile, Site};
use crate::report::figures::{Figures, Lifetimes, LiveSums};

/// Numbers at random.
pub struct Random(pub u64);

impl Random {
    /// The next one, less than `below`.
    pub fn below(&mut self, below: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 33) % u64::from(below.max(1))) as u32
    }
}

/// What the runs of a fleet are like.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    /// Sites of each run.
    pub sites: u32,
    /// Whether blocks are followed.
    pub live: bool,
}

impl Fleet {
    /// The profile of a run. There are four programs on seven hosts, three builds of each. Runs of a program
    /// have nearly all sites in common, whatever the build; what builds differ in are addresses, lines and
    /// paths.
    pub fn run(self, run: u32) -> Profile {
        let (program, build, host) = (run % 4, run / 4 % 3, run % 7);
        let mut tables = Tables::default();
        let exe = format!("/srv/{build}/bin/server{program}");
        let exe = tables.string(&exe);
        let module = tables.module(Module {
            path: exe,
            build_id: vec![program as u8, build as u8, 0xab],
        });
        let malloc = tables.string("malloc");
        let threads = ["server", "worker", "io"].map(|name| tables.thread(name));
        // What is allocated is the same in all runs of a program; how often is not.
        let mut random = Random(0x9E37_79B9_7F4A_7C15 ^ u64::from(program) << 7);
        let mut counts = Random(0xD1B5_4A32_D192_ED03 ^ u64::from(run) << 9);
        let mut stack: Vec<u32> = Vec::new();
        for index in 0..self.sites {
            stack.truncate(stack.len().saturating_sub(1 + random.below(6) as usize));
            for _ in 0..1 + random.below(if stack.len() < 24 { 6 } else { 3 }) {
                let number = random.below(self.sites / 6 + 20);
                let kind = match random.below(5) {
                    0 => FrameKind::Inlined,
                    _ => FrameKind::Physical,
                };
                let name = format!(
                    "acme::part{}::Type{}::work_{number}",
                    number % 31,
                    number % 257
                );
                let name = tables.string(&name);
                let file = format!("/build/{build}/src/part{}.cc", number % 31);
                let file = tables.string(&file);
                let function = tables.function(Function { name, file, module });
                let frame = tables.frame(Frame {
                    function,
                    line: 10 + number % 900 + build * (number % 2),
                    kind,
                    address: 0x1000 + u64::from(number) * 64 + u64::from(build) * 16,
                });
                let above = stack.last().copied().unwrap_or(NONE);
                stack.push(tables.node(above, frame));
            }
            let size = 8_u64 << random.below(9);
            let calls = u64::from(1 + counts.below(1000));
            // A run meets most sites of its program, but not all.
            if counts.below(20) == 0 {
                continue;
            }
            tables.profile.sites.push(Site {
                node: stack.last().copied().unwrap_or(NONE),
                size,
                allocator: malloc,
                thread: threads[index as usize % 3],
                process: 0,
                figures: self.figures(calls),
                old: None,
            });
        }
        let process = Process {
            program: tables.string(&format!("server{program}")),
            exe,
            command: ["server", &format!("--run={run}")]
                .map(|word| tables.string(word))
                .to_vec(),
            pid: 1000 + run,
            ppid: 1,
            host: tables.string(&format!("host{host}")),
            os: tables.string("Linux 6.1"),
            arch: tables.string("x86_64"),
            cpus: 8,
            start_ns: 1_790_000_000_000_000_000 + u64::from(run) * 60_000_000_000,
            end_ns: 1_790_000_030_000_000_000 + u64::from(run) * 60_000_000_000,
            finished: true,
            whole_stacks: true,
            stack_depth: 1024,
            live: self.live.then(|| LiveProcess {
                peak_bytes: 1_000_000 + u64::from(run * 7919 % 1000),
                ..LiveProcess::default()
            }),
            ..Process::default()
        };
        tables.profile.processes.push(process);
        tables.profile
    }

    fn figures(self, calls: u64) -> Figures {
        let live = || LiveSums {
            followed: calls,
            frees: calls - calls / 5,
            at_peak: (calls / 3) as i64,
            lifetimes: Some(Box::new(Lifetimes {
                ages: std::array::from_fn(|i| calls >> i),
                times: std::array::from_fn(|i| calls >> i),
            })),
            ..LiveSums::default()
        };
        Figures {
            calls,
            samples: calls,
            variance: 0.0,
            live: self.live.then(live),
        }
    }
}
