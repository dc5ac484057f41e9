//! How much time and memory reports of many stacks take, of a recording like that of a C++ compiler: at
//! most 2 s and 300 MB for 200,000 stacks (`cargo test --release large_report`). Without
//! optimisation there are fewer stacks, and only memory is looked at. A process of its own measures.

use crate::harvest::{Wish, harvest};
use crate::labels::Labels;
use crate::output::Output;
use crate::shape::{Columns, Kind};
use skipheap_format::layout::*;
use skipheap_profile::report::collapsed::{Style, Value};
use skipheap_profile::report::testing::{Builder, bytes_of, no_live};
use skipheap_responsible::Plumbing;
use std::fs;
use std::mem::offset_of;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const STACKS: u32 = if cfg!(debug_assertions) {
    20_000
} else {
    200_000
};
/// Most memory besides the pages of the program itself, which differ from build to build, in
/// kilobytes: what the tool takes for any report and for the names of so many functions, and what each
/// stack may take.
const MOST_MEMORY: u64 = 14_000 + STACKS as u64 * 7 / 4;
const FRAMES: u32 = 30_000;
/// Said by the measuring process.
const FOLDER: &str = "LARGE_REPORT_FOLDER";

/// Random stacks of about 40 frames that share their outer parts, one or two sizes for each.
fn write_recording(path: &Path) {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = |below: u32| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 33) % u64::from(below)) as u32
    };
    let mut builder = Builder::new();
    builder.put(offset_of!(Header, flags), WHOLE_STACKS | LIVE);
    builder.put(offset_of!(Header, stack_depth), MOST_FRAMES);
    let module = builder.modules(&["/no/such/cc1plus".to_owned()])[0];
    let frames: Vec<FrameRecord> = (0..u64::from(FRAMES))
        .map(|i| FrameRecord {
            module,
            flags: 0,
            address: 0x40_0001 + 16 * i,
        })
        .collect();
    let first_frame = builder.frames(&frames);
    let first = ((builder.bytes.len() + size_of::<ChunkHeader>()) / size_of::<StackNode>()) as u32;
    let mut nodes: Vec<StackNode> = Vec::new();
    let mut stack: Vec<u32> = Vec::new();
    let mut ends = Vec::new();
    for _ in 0..STACKS {
        stack.truncate(stack.len().saturating_sub(1 + random(10) as usize));
        for _ in 0..1 + random(if stack.len() < 40 { 12 } else { 4 }) {
            nodes.push(StackNode {
                parent: stack.last().copied().unwrap_or(0),
                frame: first_frame + random(FRAMES),
            });
            stack.push(first + nodes.len() as u32 - 1);
        }
        ends.extend(stack.last().copied());
    }
    let records: Vec<u8> = nodes.iter().flat_map(bytes_of).copied().collect();
    builder.chunk(CHUNK_STACKS, &records);
    let sites: Vec<(SiteRecord, LiveRecord)> = ends
        .iter()
        .map(|&node| {
            let site = SiteRecord {
                frames: [node, node, node, 0],
                size: u64::from(16 * random(9)),
                count: 1 + u64::from(random(1000)),
            };
            (site, no_live())
        })
        .collect();
    builder.live_sites(1, &sites);
    fs::write(path, builder.finish(0)).expect("written");
}

fn measured(folder: &Path, kind: Kind, name: &str) -> Duration {
    let wish = Wish {
        kind,
        suppressions: Vec::new(),
        leaks_listed: 0,
        prints_suppressions: false,
        timeline: None,
        merge: None,
        sort: Value::Bytes,
        tree: None,
        largest: 10,
        lists_sites: false,
        lines: false,
        plumbing: Plumbing::new(),
        quiet: true,
        tolerant: false,
        symbols: None,
        keeps_profile: false,
        no_command_line: false,
        labels: Labels {
            of_recordings: Vec::new(),
            given: Vec::new(),
        },
        main: None,
    };
    let out = folder.join(name);
    let start = Instant::now();
    let recordings = [folder.join("1.skipheap-rec")];
    harvest(&recordings, &mut Output::new(Some(&out)), &wish).expect("a report");
    start.elapsed()
}

/// The measuring process; does nothing in a usual run.
#[test]
fn measure() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let folder = Path::new(&folder);
    let style = Style {
        value: Value::Calls,
        ..Style::default()
    };
    let collapsed = measured(folder, Kind::Collapsed(style), "x.folded");
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let kb = |name| {
        let mut lines = status.lines();
        let line = lines
            .find_map(|line| line.strip_prefix(name))
            .expect("a line");
        let number = line.split_whitespace().next().expect("a number");
        number.parse::<u64>().expect("kilobytes")
    };
    let (peak, of_program) = (kb("VmHWM:"), kb("RssFile:"));
    let csv = measured(folder, Kind::Csv(Columns::Seed), "x.csv");
    println!(
        "collapsed {collapsed:?}, csv {csv:?}, {peak} kB, {of_program} kB of which the program"
    );
    assert!(peak.saturating_sub(of_program) <= MOST_MEMORY);
    if !cfg!(debug_assertions) {
        assert!(collapsed < Duration::from_secs(2) && csv < Duration::from_secs(2));
    }
}

#[test]
fn time_and_memory_of_a_report_follow_the_number_of_stacks() {
    let folder = tempfile::tempdir().expect("a folder");
    write_recording(&folder.path().join("1.skipheap-rec"));
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "--nocapture", "large_report::measure"])
        .env(FOLDER, folder.path())
        .output()
        .expect("started");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(
        output.status.success() && said.contains("collapsed "),
        "{output:?}"
    );
    let lines = fs::read_to_string(folder.path().join("x.folded")).expect("read");
    assert_eq!(lines.lines().count(), STACKS as usize);
}
