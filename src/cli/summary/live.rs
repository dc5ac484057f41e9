//! What the summary says of the live heap: its peak and course, what is left, lifetimes, growth.

use crate::harvest::{Harvest, Process};
use crate::live::{LISTED, LiveHeap, LiveRows};
use crate::terminal::listing::{RESPONSIBLE, function_line, listed, listing, names_of};
use crate::terminal::table::table;
use crate::terminal::term::line;
use crate::terminal::term::{bytes, counted, grouped, printable, scaled};
use skipheap_format::layout::{AGES, SHORTEST_TIME_LOG2, TIMES, TimelinePoint};
use skipheap_profile::functions;
use skipheap_profile::report::collapsed::Value;
use skipheap_profile::report::figures::Lifetimes;
use skipheap_profile::report::left::{Blocks, Leak, Left};
use skipheap_profile::report::line as steps;
use skipheap_profile::report::rows::Row;
use skipheap_profile::report::suppressions::lines;
use skipheap_responsible::{Plumbing, fold, is_unnamed};
use skipheap_symbolize::places::Place;
use std::cmp::Reverse;
use std::collections::HashMap;

/// Processes whose heaps are described.
const PROCESSES: usize = 3;
/// Columns of the course of a heap.
const COURSE: usize = 60;
/// From nothing to all.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Adds it, where blocks were followed.
pub(crate) fn live(text: &mut String, harvest: &Harvest, width: usize) {
    let Some(rows) = &harvest.live else { return };
    line(text, format_args!(""));
    let mut heaps: Vec<(&Process, &LiveHeap)> = harvest
        .processes
        .iter()
        .filter_map(|process| Some((process, process.live.as_ref()?)))
        .collect();
    heaps.sort_by_key(|(_, heap)| Reverse((heap.peak_bytes, heap.left.all.bytes)));
    heaps.truncate(PROCESSES);
    let several = harvest.processes.len() > 1;
    for (process, heap) in &heaps {
        let whose = match several {
            true => format!("{}: ", process.who()),
            false => String::new(),
        };
        if heap.peak_bytes == 0 && harvest.sampled.is_some() {
            // The sample has nothing of it, which does not say that there was nothing.
            continue;
        }
        let peak = bytes(heap.peak_bytes);
        let error = match heap.peak_error {
            error if error > 0.0 => {
                format!(" ±{:.1} %", 100.0 * error / heap.peak_bytes.max(1) as f64)
            }
            _ => String::new(),
        };
        if process.runs.is_some() {
            let what = "highest peak of live bytes of any run";
            line(text, format_args!("{whose}{what}: {peak}{error}"));
            continue;
        }
        line(
            text,
            format_args!(
                "{whose}peak of live bytes: {peak}{error} at {:.3} s",
                heap.peak_at
            ),
        );
        course(text, heap);
    }
    together(text, harvest);
    if let (true, Some((process, _))) = (several, heaps.first()) {
        let program = printable(&process.program);
        let whose = match process.runs {
            Some(_) => format!("the run of {program} with the highest peak"),
            None => format!("{program} {}, which held the most", process.pid),
        };
        line(text, format_args!("at the peak of {whose}:"));
    }
    at_peak(text, harvest, rows, width);
    short_lived(text, rows, &heaps);
    growth(text, rows, width);
    for (process, heap) in most_left(harvest) {
        let whose = several.then_some(process);
        left(text, harvest, heap, whose, width);
    }
    if harvest.prints_suppressions {
        line(text, format_args!(""));
        suppressions(text, harvest);
    }
}

/// Adds lines for a file of suppressions that leave out all leaks that were found: one for each responsible
/// function, those that have lost the most first.
pub(crate) fn suppressions(text: &mut String, harvest: &Harvest) {
    let heaps = harvest
        .processes
        .iter()
        .filter_map(|process| process.live.as_ref());
    let leaks = heaps
        .filter(|heap| heap.left.unreachable)
        .flat_map(|heap| &heap.left.largest);
    let plumbing = functions::plumbing();
    let mut sums: HashMap<&str, Left> = HashMap::new();
    for leak in leaks {
        let place = leak.stack.get(responsible(&functions_of(leak), &plumbing));
        if let Some(name) = place.and_then(|place| place.function.as_deref()) {
            sums.entry(name).or_default().add(leak.left);
        }
    }
    let mut sums: Vec<(&str, Left)> = sums.into_iter().collect();
    sums.sort_unstable_by_key(|&(name, left)| (Reverse(left), name));
    line(
        text,
        format_args!(
            "# for --suppressions FILE: {}",
            match &sums[..] {
                [] => "no leaks",
                _ => "the leaks of this run",
            }
        ),
    );
    for (name, left) in sums {
        for pattern in lines(std::iter::once(name)) {
            line(text, format_args!("# {}", amount(left.all)));
            line(text, format_args!("{}", printable(&pattern)));
        }
    }
}

/// Adds the peak of all processes together, where they are several: their own peaks were at different times.
fn together(text: &mut String, harvest: &Harvest) {
    let heaps = || harvest.processes.iter();
    if heaps().any(|process| process.runs.is_some()) {
        return;
    }
    let heaps = || heaps().filter_map(|process| process.live.as_ref());
    let courses = heaps().map(|heap| steps::Course {
        points: heap
            .timeline
            .iter()
            .map(|point| (point.ns, point.live_bytes)),
        end_ns: heap.end_ns,
    });
    let Some(sum) = steps::together(courses) else {
        return;
    };
    let start = heaps().map(|heap| heap.start_ns).min().unwrap_or(0);
    line(
        text,
        format_args!(
            "all processes together: peak of live bytes: {} at {:.3} s, in {}",
            bytes(sum.bytes),
            sum.ns.saturating_sub(start) as f64 / 1e9,
            counted(sum.processes, "process", "processes")
        ),
    );
}

/// The processes of which most is left, those that the leak check has looked at first.
fn most_left(harvest: &Harvest) -> Vec<(&Process, &LiveHeap)> {
    let processes = harvest.processes.iter();
    let mut heaps: Vec<_> = processes
        .filter_map(|process| Some((process, process.live.as_ref()?)))
        .collect();
    heaps.sort_by_key(|(_, heap)| Reverse((heap.left.unreachable, heap.left.all)));
    heaps.truncate(PROCESSES);
    heaps
}

/// Adds live bytes over time, as a row of bars.
fn course(text: &mut String, heap: &LiveHeap) {
    let Some(end) = heap.timeline.last().map(|point| point.ns) else {
        return;
    };
    let seconds = end.saturating_sub(heap.start_ns) as f64 / 1e9;
    let bars = bars(&columns(&heap.timeline, heap.start_ns, COURSE));
    line(text, format_args!("over {seconds:.2} s: {bars}"));
}

/// Most live bytes in each of `count` equal spans of time. A point holds until the next one.
fn columns(points: &[TimelinePoint], start: u64, count: usize) -> Vec<u64> {
    let end = points.last().map_or(start, |point| point.ns);
    let span = (end.saturating_sub(start) / count as u64).max(1);
    let column = |ns: u64| ((ns.saturating_sub(start) / span) as usize).min(count - 1);
    let mut most = vec![0; count];
    for (index, point) in points.iter().enumerate() {
        let first = column(point.ns);
        // The next one may begin right at the start of a span.
        let until = points
            .get(index + 1)
            .map_or(u64::MAX, |next| next.ns.saturating_sub(1));
        for most in &mut most[first..=column(until).max(first)] {
            *most = point.live_bytes.max(*most);
        }
    }
    most
}

fn bars(values: &[u64]) -> String {
    let most = values.iter().copied().max().unwrap_or(0).max(1);
    let bar = |&value: &u64| {
        let steps = BARS.len() as u128 - 1;
        let height = (u128::from(value) * steps).div_ceil(u128::from(most));
        BARS[height as usize]
    };
    values.iter().map(bar).collect()
}

fn at_peak(text: &mut String, harvest: &Harvest, rows: &LiveRows, width: usize) {
    if !harvest.lists_sites && !harvest.functions.all.is_empty() {
        let lines = harvest.functions.largest(Value::Peak, LISTED).into_iter();
        let lines = lines.map(|function| {
            let figures = &function.figures;
            let cells = [
                scaled(figures.peak),
                grouped(figures.peak_blocks),
                function.shown_sizes(),
            ];
            let share = figures.peak as f64 / rows.peak_bytes.max(1) as f64;
            function_line(function, cells, share)
        });
        let lines: Vec<_> = lines.collect();
        table(
            text,
            ["at the peak", "blocks", "size"],
            RESPONSIBLE,
            &lines,
            width,
        );
        return;
    }
    let cells = |row: &Row| {
        let blocks = row.live.as_ref().map_or(0, |live| live.peak());
        [
            scaled(blocks.saturating_mul(row.size)),
            grouped(blocks),
            grouped(row.size),
        ]
    };
    let lines = rows.at_peak.iter();
    let lines = lines.map(|row| (cells(row), names_of(row))).collect();
    listing(text, ["at the peak", "blocks", "size"], lines, width);
}

/// Adds how long blocks live.
fn short_lived(text: &mut String, rows: &LiveRows, heaps: &[(&Process, &LiveHeap)]) {
    let sums = &rows.sums;
    let share = 100.0 * sums.temporary as f64 / sums.followed.max(1) as f64;
    line(
        text,
        format_args!(
            "\ntemporary: {share:.1} % of the blocks ({}) were freed before their thread's next allocation",
            grouped(sums.temporary)
        ),
    );
    let mut lifetimes = Lifetimes::default();
    for (_, heap) in heaps {
        lifetimes.add(&heap.lifetimes);
    }
    let ages = bars(&lifetimes.ages);
    let times = bars(&lifetimes.times);
    if let (Some(age), Some(time)) = (median(&lifetimes.ages), median(&lifetimes.times)) {
        line(
            text,
            format_args!(
                "lifetimes: {ages} 0 to 2^{} allocations, half at most {}",
                AGES - 2,
                most_of_age(age)
            ),
        );
        line(
            text,
            format_args!(
                "           {times} 1 µs to {}, half at most {}",
                time_of(TIMES - 2),
                time_of(time)
            ),
        );
    }
}

/// The bucket with the middle one of all.
fn median(buckets: &[u64]) -> Option<usize> {
    // The sum of full counters is more than one of them can hold.
    let all: u128 = buckets.iter().map(|&count| u128::from(count)).sum();
    let mut below = 0;
    buckets.iter().position(|&count| {
        below += u128::from(count);
        count > 0 && 2 * below >= all
    })
}

/// Largest age of a bucket, in allocations.
fn most_of_age(bucket: usize) -> String {
    grouped((1_u64 << bucket) - 1)
}

/// Upper end of a bucket of times.
fn time_of(bucket: usize) -> String {
    let ns = 2_f64.powi(SHORTEST_TIME_LOG2 as i32 + bucket as i32);
    match ns {
        ..1e6 => format!("{:.0} µs", ns / 1e3),
        ..1e9 => format!("{:.0} ms", ns / 1e6),
        _ => format!("{:.0} s", ns / 1e9),
    }
}

fn growth(text: &mut String, rows: &LiveRows, width: usize) {
    if rows.grown.is_empty() {
        return;
    }
    let sums = &rows.sums;
    line(
        text,
        format_args!(
            "realloc: {} grown, {} copied",
            counted(sums.grown, "block", "blocks"),
            bytes(sums.copied)
        ),
    );
    let plumbing = functions::plumbing();
    let mut sums: Vec<(Vec<String>, u64, u64, u64)> = Vec::new();
    for row in &rows.grown {
        let names: Vec<String> = row
            .names
            .iter()
            .flatten()
            .map(|name| name.to_string())
            .collect();
        let first = responsible(&names, &plumbing);
        let names: Vec<String> = names
            .iter()
            .skip(first)
            .map(|name| printable(name))
            .collect();
        let (copied, times) = row
            .live
            .as_ref()
            .map_or((0, 0), |live| (live.copied, live.grown));
        match sums.iter_mut().find(|sum| sum.0 == names) {
            Some(sum) => {
                sum.1 = sum.1.saturating_add(copied);
                sum.2 = sum.2.saturating_add(times);
                sum.3 = sum.3.max(row.size);
            }
            None => sums.push((names, copied, times, row.size)),
        }
    }
    sums.sort_by_key(|&(_, copied, times, _)| Reverse((copied, times)));
    let lines = sums.into_iter().map(|(names, copied, times, size)| {
        ([scaled(copied), grouped(times), grouped(size)], names)
    });
    listing(text, ["copied", "times", "largest"], lines.collect(), width);
}

/// Adds what a process has not freed, or nothing points to.
fn left(
    text: &mut String,
    harvest: &Harvest,
    heap: &LiveHeap,
    whose: Option<&Process>,
    width: usize,
) {
    let left = &heap.left;
    let what = match left.unreachable {
        true => "leaked (unreachable)",
        false => "not freed at the end",
    };
    let whose = whose.map_or(String::new(), |process| format!("{}: ", process.who()));
    line(
        text,
        format_args!(
            "\n{whose}{what}: {} from {}",
            amount(left.all),
            counted(left.stacks as u64, "stack", "stacks")
        ),
    );
    if left.indirect.blocks > 0 {
        line(
            text,
            format_args!(
                "indirectly, with other leaked blocks that lead to them: {}",
                amount(left.indirect)
            ),
        );
    }
    for (suppression, kept) in harvest.suppressions.iter().zip(&left.suppressed) {
        if kept.blocks > 0 {
            line(
                text,
                format_args!(
                    "suppressed by leak:{}: {}",
                    printable(&suppression.text),
                    amount(*kept)
                ),
            );
        }
    }
    if heap.unknown_frees > 0 {
        let frees = counted(heap.unknown_frees, "free", "frees");
        line(
            text,
            format_args!("note: {frees} of blocks that were not tracked"),
        );
    }
    let plumbing = functions::plumbing();
    let mut shown = by_names(&left.largest, &plumbing);
    shown.truncate(listed(harvest.listed));
    let stacks: usize = shown.iter().map(|row| row.stacks).sum();
    let more = left.stacks.saturating_sub(stacks);
    if left.indirect.blocks == 0 {
        let cells = |row: &LeftRow| [scaled(row.left.all.bytes), grouped(row.left.all.blocks)];
        let lines = shown.into_iter().map(|row| (cells(&row), row.names));
        listing(text, ["bytes", "blocks"], lines.collect(), width);
    } else {
        let cells = |row: &LeftRow| {
            let (direct, indirect) = (row.left.direct(), row.left.indirect);
            let [direct, indirect] = [direct, indirect].map(|left| match left.blocks {
                0 => ["-".to_owned(), "-".to_owned()],
                blocks => [scaled(left.bytes), grouped(blocks)],
            });
            let ([bytes, blocks], [with, blocks_with]) = (direct, indirect);
            [bytes, blocks, with, blocks_with]
        };
        let lines = shown.into_iter().map(|row| (cells(&row), row.names));
        let headings = ["directly", "blocks", "indirectly", "blocks"];
        listing(text, headings, lines.collect(), width);
    }
    if more > 0 {
        let more = counted(more as u64, "more stack", "more stacks");
        line(text, format_args!("… and {more}"));
    }
}

/// What is left of stacks that look the same from their responsible functions outwards.
struct LeftRow {
    left: Left,
    names: Vec<String>,
    stacks: usize,
}

/// The rows of these stacks, the largest first.
fn by_names(leaks: &[Leak], plumbing: &Plumbing) -> Vec<LeftRow> {
    let mut rows: Vec<LeftRow> = Vec::new();
    for leak in leaks {
        let names = names_of_leak(leak, plumbing);
        match rows.iter_mut().find(|row| row.names == names) {
            Some(row) => {
                row.left.add(leak.left);
                row.stacks += 1;
            }
            None => rows.push(LeftRow {
                left: leak.left,
                names,
                stacks: 1,
            }),
        }
    }
    rows.sort_by_key(|row| Reverse(row.left));
    rows
}

fn amount(blocks: Blocks) -> String {
    let number = counted(blocks.blocks, "block", "blocks");
    format!("{} in {number}", bytes(blocks.bytes))
}

/// Index of the responsible function in a stack, innermost first; 0 where all are plumbing.
fn responsible(names: &[String], plumbing: &Plumbing) -> usize {
    let kinds: Vec<_> = names.iter().map(|name| plumbing.kind(name)).collect();
    let unnamed = |at: usize| names.get(at).is_some_and(|name| is_unnamed(name));
    match Plumbing::responsible(&kinds, unnamed) {
        Some(found) if !found.is_beyond => found.at,
        _ => 0,
    }
}

/// The functions of a leak, innermost first.
fn functions_of(leak: &Leak) -> Vec<String> {
    let name = |place: &Place| place.function.as_deref().unwrap_or("?").to_owned();
    leak.stack.iter().map(name).collect()
}

/// The functions of a leak from the responsible one outwards, that with its line.
fn names_of_leak(leak: &Leak, plumbing: &Plumbing) -> Vec<String> {
    let names = functions_of(leak);
    let first = responsible(&names, plumbing);
    let names = names.iter().skip(first);
    let mut names: Vec<String> = names.map(|name| printable(&fold(name))).collect();
    if let (Some(name), Some(place)) = (names.first_mut(), leak.stack.get(first))
        && let (Some(file), Some(number)) = (&place.file, place.line)
    {
        let file = file.rsplit('/').next().unwrap_or(file);
        name.push_str(&format!(" ({}:{number})", printable(file)));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::of_rows;
    use skipheap_profile::report::figures::LiveSums;
    use skipheap_profile::report::leaked::Leaked;
    use skipheap_profile::report::left::Leaks;
    use skipheap_profile::report::suppressions;

    fn point(ns: u64, live_bytes: u64) -> TimelinePoint {
        TimelinePoint {
            ns,
            allocations: 0,
            live_bytes,
            live_blocks: 0,
            rss: 0,
        }
    }

    #[test]
    fn the_course_has_the_highest_of_each_span() {
        let points = [point(100, 7), point(119, 3), point(160, 9), point(200, 1)];
        assert_eq!(columns(&points, 100, 5), [7, 3, 3, 9, 9]);
        assert_eq!(columns(&points[..1], 100, 2), [7, 7]);
        assert_eq!(bars(&[0, 1, 4, 7, 8]), "▁▂▅██");
        assert_eq!(bars(&[0, 0]), "▁▁");
    }

    #[test]
    fn of_many_leaks_ten_are_listed_and_the_leaker_comes_first() {
        let mut harvest = harvest();
        for pid in 1..5 {
            let mut live = self::harvest().processes.remove(0).live;
            if let Some(live) = &mut live {
                live.left.all = Blocks::default();
                live.left.largest.clear();
                live.left.stacks = 0;
                live.peak_bytes = 10_000;
            }
            harvest.processes.push(Process {
                program: "idle".into(),
                pid,
                live,
                ..Process::default()
            });
        }
        let left = &mut harvest.processes[0].live.as_mut().expect("a heap").left;
        left.stacks = 14;
        let leak = left.largest[0].clone();
        left.largest = vec![leak; 12];
        for (number, leak) in left.largest.iter_mut().enumerate() {
            // The first two look the same.
            leak.stack[0].line = Some(number.max(1) as u32);
        }
        let mut said = String::new();
        live(&mut said, &harvest, 80);
        let said = crate::terminal::paint::plain(&said);
        assert_eq!(said.matches("take (a.c:").count(), 10, "{said}");
        assert_eq!(said.matches("take (a.c:1)").count(), 1, "{said}");
        assert!(said.contains("\n 800 B       8  take (a.c:1)\n"), "{said}");
        let leaks = said.find("jq 0: leaked").expect(&said);
        assert!(
            said.find("idle 4: leaked").is_none_or(|at| leaks < at),
            "{said}"
        );
        assert!(said.contains("… and 3 more stacks\n"), "{said}");
    }

    #[test]
    fn indirect_leaks_are_listed_apart_and_top_says_how_many_there_are() {
        let mut harvest = harvest();
        harvest.listed = 1;
        let left = Left::new(
            Leaked {
                direct: 1,
                indirect: 3,
            },
            100,
        );
        let leaks = &mut harvest.processes[0].live.as_mut().expect("a heap").left;
        leaks.largest[0].left = left;
        leaks.largest.push(leaks.largest[0].clone());
        leaks.largest[1].stack[0].line = Some(4);
        leaks.indirect = left.indirect;
        leaks.stacks = 2;
        let mut said = String::new();
        live(&mut said, &harvest, 80);
        let said = crate::terminal::paint::plain(&said);
        for part in [
            "indirectly, with other leaked blocks that lead to them: 300 bytes in 3 blocks\n",
            " directly  blocks  indirectly  blocks  allocated by",
            "    100 B       1       300 B       3  take (a.c:3)\n",
            "… and 1 more stack\n",
        ] {
            assert!(said.contains(part), "{part}{said}");
        }
    }

    #[test]
    fn suppressions_are_printed_ready_to_be_read() {
        let mut harvest = harvest();
        harvest.prints_suppressions = true;
        let mut said = String::new();
        super::suppressions(&mut said, &harvest);
        assert_eq!(
            said,
            "# for --suppressions FILE: the leaks of this run\n# 400 bytes in 4 blocks\nleak:^take$\n"
        );
        assert_eq!(suppressions::parse(&said).expect("suppressions").len(), 1);
    }

    #[test]
    fn half_of_the_blocks_are_not_older_than_the_median() {
        assert_eq!(median(&[0, 0]), None);
        assert_eq!(median(&[0, 3, 2]), Some(1));
        assert_eq!(median(&[1, 1, 2]), Some(1));
        assert_eq!(median(&[1, 1, 3]), Some(2));
        assert_eq!(median(&[u64::MAX, u64::MAX, u64::MAX]), Some(1));
        assert_eq!([most_of_age(0), most_of_age(3)], ["0", "7"]);
        assert_eq!(
            [time_of(0), time_of(10), time_of(20)],
            ["1 µs", "1 ms", "1 s"]
        );
    }

    fn harvest() -> Harvest {
        let row = |size, live| Row {
            names: [Some("take".into()), Some("main".into()), None, None],
            size,
            calls: 10,
            total: 10 * size,
            live: Some(live),
            ..Row::default()
        };
        let live = LiveSums {
            followed: 10,
            frees: 6,
            temporary: 2,
            at_peak: 7,
            grown: 3,
            copied: 4096,
            ..LiveSums::default()
        };
        let rows = [row(100, live)];
        let mut lifetimes = Lifetimes::default();
        (lifetimes.ages[2], lifetimes.times[5]) = (6, 6);
        let place = Place {
            function: Some("take".into()),
            file: Some("/src/a.c".into()),
            line: Some(3),
        };
        let left = Left::new(
            Leaked {
                direct: 4,
                indirect: 0,
            },
            100,
        );
        let leaks = Leaks {
            unreachable: true,
            all: left.all,
            indirect: left.indirect,
            stacks: 1,
            largest: vec![Leak {
                stack: vec![place],
                left,
            }],
            suppressed: vec![Blocks::default(), left.all],
        };
        Harvest {
            processes: vec![Process {
                program: "jq".into(),
                live: Some(LiveHeap {
                    peak_bytes: 700,
                    peak_at: 0.5,
                    timeline: vec![point(0, 1), point(1_000_000_000, 2)],
                    lifetimes,
                    left: leaks,
                    unknown_frees: 1,
                    ..LiveHeap::default()
                }),
                ..Process::default()
            }],
            live: of_rows(&rows),
            suppressions: suppressions::parse("leak:a\nleak:b*").expect("understood"),
            ..Harvest::default()
        }
    }

    #[test]
    fn the_heap_is_summed_up() {
        let mut said = String::new();
        live(&mut said, &harvest(), 80);
        let said = crate::terminal::paint::plain(&said);
        for part in [
            "\npeak of live bytes: 700 bytes at 0.500 s\nover 1.00 s: ▅",
            " at the peak  blocks  size  allocated by ← called by\n       700 B       7   100  take ← main\n",
            "temporary: 20.0 % of the blocks (2) were",
            "0 to 2^24 allocations, half at most 3\n",
            "half at most 33 µs\n",
            "realloc: 3 blocks grown, 4,096 bytes (4.1 kB) copied\n",
            " copied  times  largest  ",
            "leaked (unreachable): 400 bytes in 4 blocks from 1 stack\n",
            "suppressed by leak:b*: 400 bytes in 4 blocks\n",
            "take (a.c:3)\n",
        ] {
            assert!(said.contains(part), "{part}:\n{said}");
        }
        assert!(!said.contains("leak:a:"), "{said}");
        let longest = said.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(100), "{said}");
        let mut nothing = String::new();
        live(&mut nothing, &Harvest::default(), 80);
        assert_eq!(nothing, "");
    }
}
