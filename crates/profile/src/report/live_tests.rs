//! Random recordings of whole stacks and followed blocks: every report's sums are those of the
//! recording, and reports of the same data agree.

use super::collapsed::{Stacks, Style, Value};
use super::csv;
use super::figures::{AllLifetimes, LiveSums, Rate};
use super::leaked::Leaked;
use super::left::Blocks;
use super::rows::{Row, totals};
use super::suppressions;
use super::testing::{Builder, bytes_of, no_live};
use crate::build::{self, Detail};
use crate::leaks::leaks;
use crate::rows::rows;
use crate::stacks::stacks;
use crate::{Profile, Site};
use proptest::prelude::*;
use skipheap_format::layout::*;
use skipheap_format::reader::{self, Recording};
use skipheap_symbolize::Symbolizer;
use skipheap_symbolize::places::Places;
use std::collections::{BTreeMap, BTreeSet};
use std::mem::offset_of;

/// Frames of the model; the address of each is even, so that lookups lie one below.
const FRAMES: usize = 6;
/// Number of the process's highest peak.
const EPOCH: u64 = 5;

/// A site of a thread.
#[derive(Clone, Debug)]
struct ModelSite {
    thread: u32,
    stack: usize,
    size: u64,
    function: u16,
    count: u64,
    frees: u64,
    temporary: u64,
    at_peak: i64,
    touched: bool,
    others: [u64; 3],
}

/// Whole stacks and live blocks.
#[derive(Clone, Debug)]
struct Model {
    /// Frames by index, innermost first.
    stacks: Vec<Vec<usize>>,
    sites: Vec<ModelSite>,
    depth: u32,
    sample_bytes: u64,
}

fn sites() -> impl Strategy<Value = ModelSite> {
    (
        (1_u32..4, any::<prop::sample::Index>(), 0_u64..3, 0_u16..3),
        (0_u64..9, 0_u64..12, 0_u64..3, -4_i64..9, any::<bool>()),
        any::<[u8; 3]>(),
    )
        .prop_map(
            |(
                (thread, stack, size, function),
                (count, frees, temporary, at_peak, touched),
                others,
            )| ModelSite {
                thread,
                stack: stack.index(1 << 16),
                size: size * 24,
                function,
                count,
                frees,
                temporary: temporary.min(frees),
                at_peak,
                touched,
                others: others.map(u64::from),
            },
        )
}

fn models() -> impl Strategy<Value = Model> {
    let stack = prop::collection::vec(0..FRAMES, 0..9);
    let stacks = prop::collection::vec(stack, 1..5);
    (stacks, prop::collection::vec(sites(), 0..40)).prop_map(|(stacks, mut sites)| {
        // A thread has one record of a site, and no more is freed of a stack than was allocated.
        let mut known = BTreeSet::new();
        for site in &mut sites {
            site.stack %= stacks.len();
        }
        sites.retain(|site| known.insert((site.thread, site.stack, site.size, site.function)));
        let mut left: BTreeMap<(usize, u64, u16), u64> = BTreeMap::new();
        for site in &sites {
            *left
                .entry((site.stack, site.size, site.function))
                .or_default() += site.count;
        }
        for site in &mut sites {
            let left = left
                .get_mut(&(site.stack, site.size, site.function))
                .unwrap();
            site.frees = site.frees.min(*left);
            site.temporary = site.temporary.min(site.frees);
            *left -= site.frees;
        }
        Model {
            stacks,
            sites,
            depth: MOST_FRAMES,
            sample_bytes: 0,
        }
    })
}

impl ModelSite {
    fn live(&self) -> LiveRecord {
        let mut live = LiveRecord {
            frees: self.frees,
            temporary: self.temporary,
            at_peak: self.at_peak,
            epoch: EPOCH as u32 - u32::from(!self.touched),
            number: 0,
            grown: self.others[0],
            copied: self.others[1],
            slack: self.others[2],
            ..no_live()
        };
        live.ages[0] = self.temporary as u32;
        live.ages[AGES - 1] = (self.frees - self.temporary) as u32;
        live.times[3] = self.frees as u32;
        live
    }

    /// Share in the blocks at the peak.
    fn peak(&self) -> i64 {
        match self.touched {
            true => self.at_peak,
            false => self.count as i64 - self.frees as i64,
        }
    }
}

impl Model {
    /// As a recording of whole stacks or of four frames, with or without what became of the blocks.
    fn write(&self, whole: bool, live: bool) -> Vec<u8> {
        let mut builder = Builder::new();
        let flags = u32::from(whole) * WHOLE_STACKS + u32::from(live) * LIVE;
        builder.put(offset_of!(Header, flags), flags);
        builder.put(offset_of!(Header, stack_depth), self.depth);
        builder.put_long(offset_of!(Header, epoch), EPOCH);
        builder.put_long(offset_of!(Header, sample_bytes), self.sample_bytes);
        let modules = builder.modules(&["/nowhere/at/all/m".to_owned()]);
        let frames: Vec<FrameRecord> = (0..FRAMES as u64)
            .map(|i| FrameRecord {
                module: modules[0],
                flags: 0,
                address: 0x1000 + 2 * i,
            })
            .collect();
        let first = builder.frames(&frames);
        let ids = |stack: &Vec<usize>| -> Vec<u32> {
            stack.iter().map(|&frame| first + frame as u32).collect()
        };
        let stacks: Vec<Vec<u32>> = self.stacks.iter().map(ids).collect();
        let ends = match whole {
            true => builder.stacks(&stacks),
            false => Vec::new(),
        };
        builder.threads(&[(1, "one"), (2, "two"), (3, "one")]);
        for thread in 1..4 {
            let of_thread: Vec<(SiteRecord, LiveRecord)> = self
                .sites
                .iter()
                .filter(|site| site.thread == thread)
                .map(|site| {
                    let mut four = stacks[site.stack].clone();
                    four.dedup();
                    four.resize(4.max(four.len()), 0);
                    let hash = site.stack as u32;
                    let record = SiteRecord {
                        frames: match whole {
                            true => [hash, hash, ends[site.stack], 0],
                            false => [four[0], four[1], four[2], four[3]],
                        },
                        size: site.size | u64::from(site.function) << SIZE_BITS,
                        count: site.count,
                    };
                    (record, site.live())
                })
                .collect();
            if live {
                builder.live_sites(thread, &of_thread);
            } else {
                let plain: Vec<SiteRecord> = of_thread.iter().map(|site| site.0).collect();
                builder.sites(thread, &plain);
            }
        }
        builder.finish(0)
    }

    fn sum(&self, of: impl Fn(&ModelSite) -> i64) -> i64 {
        self.sites.iter().map(of).sum()
    }
}

fn profile(bytes: &[u8], detail: Detail) -> Profile {
    let recording = Recording::parse(bytes).unwrap();
    let (mut symbolizer, mut places) = (Symbolizer::new(), Places::default());
    build::profile(&recording, detail, &mut symbolizer, &mut places).unwrap()
}

fn seed_csv(bytes: &[u8]) -> String {
    let text = |detail| {
        let mut text = Vec::new();
        csv::write(&rows(&profile(bytes, detail), false), &mut text).unwrap();
        String::from_utf8(text).unwrap()
    };
    let csv = text(Detail::CALL_SITES);
    assert_eq!(text(Detail::leaks(3)), csv, "with more detail");
    csv
}

fn by_origin(bytes: &[u8]) -> Vec<Row> {
    rows(&profile(bytes, Detail::ORIGINS), true)
}

fn collapsed(bytes: &[u8], style: Style) -> Vec<(Vec<String>, i64)> {
    let stacks = stacks(&profile(bytes, Detail::STACKS), style);
    // Merged with nothing and with itself, to have that tested too.
    let mut twice = Stacks::new(style);
    twice.merge(&stacks);
    twice.merge(&stacks);
    let lines = lines(&stacks);
    let doubled: Vec<_> = lines
        .iter()
        .map(|(names, n)| (names.clone(), 2 * n))
        .collect();
    assert_eq!(self::lines(&twice), doubled);
    lines
}

fn lines(stacks: &Stacks) -> Vec<(Vec<String>, i64)> {
    let mut text = Vec::new();
    stacks.write(&mut text).unwrap();
    String::from_utf8(text)
        .unwrap()
        .lines()
        .map(|line| {
            let (path, value) = line.rsplit_once(' ').unwrap();
            let names = path.split(';').map(str::to_owned).collect();
            (names, value.parse().unwrap())
        })
        .collect()
}

fn name(frame: usize) -> String {
    format!("m+{:#x}", 0xfff + 2 * frame)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_csv_is_the_same_however_stacks_were_recorded(model in models(), depth in 1_u32..8) {
        let model = Model { depth, ..model };
        let four = seed_csv(&model.write(false, false));
        prop_assert_eq!(&seed_csv(&model.write(true, false)), &four);
        prop_assert_eq!(&seed_csv(&model.write(false, true)), &four);
        prop_assert_eq!(&seed_csv(&model.write(true, true)), &four);
        let names = four.lines().skip(1).map(|line| line.matches('"').count() / 2);
        prop_assert!(names.max() <= Some((depth as usize).min(4)), "{four}");
    }

    #[test]
    fn sums_of_columns_are_those_of_the_recording(model in models(), whole: bool) {
        let bytes = model.write(whole, true);
        for rows in [by_origin(&bytes), rows(&profile(&bytes, Detail::CALL_SITES), false)] {
            let all = totals(&rows);
            prop_assert_eq!(all.calls as i64, model.sum(|site| site.count as i64));
            prop_assert_eq!(all.bytes as i64, model.sum(|site| (site.size * site.count) as i64));
            let sum = |of: fn(&LiveSums) -> i64| rows.iter().map(|row| of(row.live.as_ref().unwrap())).sum::<i64>();
            prop_assert_eq!(sum(|live| live.followed as i64), model.sum(|site| site.count as i64));
            prop_assert_eq!(sum(|live| live.frees as i64), model.sum(|site| site.frees as i64));
            prop_assert_eq!(sum(|live| live.live() as i64), model.sum(|site| site.count as i64 - site.frees as i64));
            prop_assert_eq!(rows.iter().map(|row| row.samples as i64).sum::<i64>(), model.sum(|site| site.count as i64));
        }
    }

    #[test]
    fn rows_by_origin_add_up_to_the_rows(model in models(), whole: bool) {
        let bytes = model.write(whole, true);
        let plain = rows(&profile(&bytes, Detail::CALL_SITES), false);
        let mut sums: BTreeMap<_, Row> = BTreeMap::new();
        for row in by_origin(&bytes) {
            let origin = row.origin.clone().unwrap();
            let live = row.live.clone().unwrap();
            prop_assert!(live.frees <= row.calls, "{row:?}");
            let lifetimes = live.lifetimes.unwrap();
            prop_assert_eq!(lifetimes.ages.iter().sum::<u64>(), live.frees);
            prop_assert_eq!(lifetimes.times.iter().sum::<u64>(), live.frees);
            prop_assert!(matches!(origin.thread.as_deref(), Some("one" | "two")));
            prop_assert!(FUNCTION_NAMES[..3].contains(&origin.allocator.as_deref().unwrap()));
            let key = (row.names.clone(), row.size);
            sums.entry(key).and_modify(|sum| sum.add(&row)).or_insert(row);
        }
        // What a thread did that only freed or reallocated, with no call, is in no row.
        prop_assert_eq!(sums.len(), plain.len());
        for row in plain {
            let sum = &sums[&(row.names.clone(), row.size)];
            prop_assert_eq!((sum.calls, sum.total), (row.calls, row.total));
            let (ours, theirs) = (sum.live.as_ref().unwrap(), row.live.as_ref().unwrap());
            prop_assert_eq!(ours.frees, theirs.frees);
        }
    }

    #[test]
    fn collapsed_stacks_have_the_names_and_sums_of_the_stacks(model in models(), whole: bool) {
        let bytes = model.write(whole, true);
        for (value, of) in [
            (Value::Bytes, (|site: &ModelSite| (site.count * site.size) as i64) as fn(&ModelSite) -> i64),
            (Value::Calls, |site| site.count as i64),
            (Value::Temporary, |site| site.temporary as i64),
            (Value::LiveBlocks, |site| site.count as i64 - site.frees as i64),
            (Value::Live, |site| (site.count as i64 - site.frees as i64) * site.size as i64),
            (Value::Peak, |site| site.peak() * site.size as i64),
        ] {
            let mut expected: BTreeMap<Vec<String>, i64> = BTreeMap::new();
            for site in &model.sites {
                let mut stack = model.stacks[site.stack].clone();
                if !whole {
                    stack.dedup();
                    stack.truncate(4);
                }
                let mut names: Vec<String> = stack.iter().rev().map(|&frame| name(frame)).collect();
                if names.is_empty() {
                    names.push("[no stack]".into());
                }
                // Of what a thread has less than none of, nothing is read where it never allocated or freed.
                if site.count > 0 || site.frees > 0 {
                    *expected.entry(names).or_default() += of(site);
                }
            }
            expected.retain(|_, value| *value > 0);
            let lines = collapsed(&bytes, Style { value, ..Style::default() });
            prop_assert!(lines.is_sorted());
            let found: BTreeMap<_, _> = lines.iter().cloned().collect();
            prop_assert_eq!(lines.len(), found.len(), "a stack has one line");
            prop_assert_eq!(found, expected, "{:?}", value);
        }
    }

    #[test]
    fn folding_and_cutting_change_no_sum(model in models(), depth in 5_u32..9) {
        let all = model.sum(|site| site.count as i64);
        let sum = |lines: &[(Vec<String>, i64)]| lines.iter().map(|line| line.1).sum::<i64>();
        let calls = Style { value: Value::Calls, ..Style::default() };
        let folded = collapsed(&model.write(true, false), Style { fold_recursion: true, ..calls });
        prop_assert_eq!(sum(&folded), all);
        for (names, _) in &folded {
            for round in 1..=4 {
                let mut twice = names.windows(2 * round);
                prop_assert!(twice.all(|both| both[..round] != both[round..]), "{names:?}");
            }
        }
        let cut = collapsed(&Model { depth, ..model }.write(true, false), calls);
        prop_assert_eq!(sum(&cut), all);
        prop_assert!(cut.iter().all(|line| line.0.len() <= depth as usize));
    }

    #[test]
    fn totals_of_a_process_are_the_sums_of_what_its_sites_leave_out(model in models(), whole: bool) {
        let bytes = model.write(whole, true);
        let all = profile(&bytes, Detail::EVERYTHING);
        let less = profile(&bytes, Detail { totals: true, ..Detail::leaks(0) });
        let mut threads: BTreeMap<&str, u64> = BTreeMap::new();
        let mut ages = AllLifetimes::default();
        for site in &all.sites {
            *threads.entry(all.text(all.threads[site.thread as usize])).or_default() += site.bytes();
            if let Some(lifetimes) = site.figures.live.as_ref().and_then(|live| live.lifetimes.as_deref()) {
                ages.add(site.size, lifetimes);
            }
        }
        let [process] = &less.processes[..] else { panic!("one process") };
        let found: BTreeMap<&str, u64> = process
            .thread_bytes
            .iter()
            .map(|&(thread, bytes)| (less.text(less.threads[thread as usize]), bytes))
            .collect();
        prop_assert_eq!(found, threads);
        let lifetimes = process.live.as_ref().unwrap().lifetimes.as_deref();
        prop_assert_eq!(lifetimes, Some(&ages.sum(Rate::new(0))));
    }

    #[test]
    fn what_is_left_is_all_that_was_not_freed(model in models(), whole: bool, most in 0_usize..5) {
        let bytes = model.write(whole, true);
        let recording = Recording::parse(&bytes).unwrap();
        let find = |suppressions: &str| {
            let suppressions = suppressions::parse(suppressions).unwrap();
            let profile = profile(&bytes, Detail::leaks(most));
            let sites: Vec<&Site> = profile.sites.iter().collect();
            leaks(&profile, 0, &sites, &suppressions, most).unwrap()
        };
        let found = find("");
        let alive = |site: &ModelSite| site.count as i64 - site.frees as i64;
        prop_assert_eq!(found.all.blocks as i64, model.sum(alive));
        prop_assert_eq!(found.all.bytes as i64, model.sum(|site| alive(site) * site.size as i64));
        prop_assert_eq!(found.largest.len(), most.min(found.stacks));
        prop_assert!(found.largest.is_sorted_by_key(|leak| std::cmp::Reverse(leak.left.all.bytes)));
        let frame = name(2);
        let some = find(&format!("leak:^{frame}$"));
        let mut sum = some.all;
        sum.add(some.suppressed[0]);
        prop_assert_eq!(sum, found.all);
        for leak in &some.largest {
            prop_assert!(leak.stack.iter().all(|place| place.function.as_deref() != Some(&frame)));
        }
        let none = find("leak:nowhere/at/all\nleak:m+");
        let empty = recording.sites().filter(|site| recording.stack(site).unwrap().is_empty());
        let live = |site: reader::Site| site.count as i64 - site.live.unwrap().frees as i64;
        prop_assert_eq!(none.all.blocks as i64, empty.map(live).sum::<i64>());
        prop_assert_eq!(none.suppressed[1], Blocks::default(), "the first one that matches counts");
    }
}

#[test]
fn a_leak_check_leaves_only_what_it_found() {
    let mut builder = Builder::new();
    builder.put(offset_of!(Header, flags), LIVE | LEAK_CHECKED);
    let site = |count| SiteRecord {
        frames: [0; 4],
        size: 10,
        count,
    };
    let start = builder.live_sites(1, &[(site(5), no_live()), (site(7), no_live())]);
    let leak = LeakRecord {
        site: (start + LIVE_SITE_LEN) as u64,
        blocks: 2,
        indirect: 1,
        reserved: 0,
    };
    builder.chunk(CHUNK_LEAKS, bytes_of(&leak));
    let bytes = builder.finish(0);
    let profile = profile(&bytes, Detail::leaks(9));
    let sites: Vec<&Site> = profile.sites.iter().collect();
    let found = leaks(&profile, 0, &sites, &[], 9).unwrap();
    let expected = Blocks {
        blocks: 2,
        bytes: 20,
    };
    assert!(found.unreachable);
    assert_eq!((found.all, found.stacks), (expected, 1));
    assert_eq!((found.indirect.blocks, found.indirect.bytes), (1, 10));
    let rows = rows(&profile, false);
    let leaked = rows[0].live.as_ref().and_then(|live| live.leaked);
    assert_eq!(
        leaked,
        Some(Leaked {
            direct: 1,
            indirect: 1
        })
    );
}

#[test]
fn sampled_figures_are_estimates_in_every_report() {
    let model = Model {
        stacks: vec![vec![0, 1]],
        sites: vec![ModelSite {
            thread: 1,
            stack: 0,
            size: 100,
            function: 0,
            count: 3,
            frees: 1,
            temporary: 1,
            at_peak: 2,
            touched: true,
            others: [0; 3],
        }],
        depth: MOST_FRAMES,
        sample_bytes: 1000,
    };
    // Each sample of 100 bytes stands for 1 / (1 - exp(-1/10)) = 10.508 allocations.
    let bytes = model.write(true, true);
    assert!(seed_csv(&bytes).ends_with("\"m+0xfff\",\"m+0x1001\",-,-,100,32,3200\n"));
    let rows = by_origin(&bytes);
    assert_eq!((rows[0].calls, rows[0].samples), (32, 3));
    let live = rows[0].live.as_ref().unwrap();
    assert_eq!((live.frees, live.live(), live.peak()), (11, 21, 21));
    assert_eq!(rows[0].variance.sqrt().round(), 1731.0);
    let style = Style {
        value: Value::Calls,
        ..Style::default()
    };
    assert_eq!(
        collapsed(&bytes, style),
        [(vec!["m+0x1001".to_owned(), "m+0xfff".to_owned()], 32)]
    );
}
