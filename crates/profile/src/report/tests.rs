//! Recordings made from random data through the structs of the format, read back, and summed up in
//! the plainest way to compare.

use super::collapsed::Style;
use super::rows::{Row, sort, totals};
use super::testing::{Builder, bytes_of, no_live};
use crate::build::{self, Detail};
use crate::intern::Tables;
use crate::leaks::leaks;
use crate::rows::rows;
use crate::stacks::stacks;
use proptest::prelude::*;
use skipheap_format::PAGE;
use skipheap_format::layout::*;
use skipheap_format::note::{Kind, Note};
use skipheap_format::reader::{FormatError, Recording};
use skipheap_symbolize::Symbolizer;
use skipheap_symbolize::places::Places;
use std::collections::BTreeMap;
use std::mem::offset_of;

/// What a random recording is made of.
#[derive(Clone, Debug)]
struct Model {
    /// Names of files that are not there, so that names are `file+0x…`.
    modules: Vec<String>,
    /// Module by index, address.
    frames: Vec<(usize, u64)>,
    /// Frames by index (one behind the last is no frame and ends the stack), size, function, count.
    sites: Vec<([usize; 4], u64, u16, u64)>,
    /// Pages reserved but not begun between the chunks.
    holes: usize,
    tail: usize,
}

fn models() -> impl Strategy<Value = Model> {
    let modules = prop::collection::vec("[a-c]{1,2}", 1..4);
    let frames = prop::collection::vec((any::<prop::sample::Index>(), 0_u64..6), 1..8);
    let sites = prop::collection::vec((any::<[u8; 4]>(), 0_u64..3, 0_u16..9, 0_u64..4), 0..300);
    (modules, frames, sites, 0_usize..3, 0_usize..9000).prop_map(
        |(modules, frames, sites, holes, tail)| {
            let len = frames.len() + 1;
            Model {
                frames: frames
                    .iter()
                    .map(|(module, address)| (module.index(modules.len()), *address))
                    .collect(),
                sites: sites
                    .into_iter()
                    .map(|(frames, size, function, count)| {
                        (
                            frames.map(|frame| usize::from(frame) % len),
                            size,
                            function,
                            count,
                        )
                    })
                    .collect(),
                modules,
                holes,
                tail,
            }
        },
    )
}

impl Model {
    fn path(&self, module: usize) -> String {
        format!("/nowhere/at/all/{}", self.modules[module])
    }

    fn write(&self) -> Vec<u8> {
        let mut builder = Builder::new();
        let paths: Vec<String> = (0..self.modules.len())
            .map(|module| self.path(module))
            .collect();
        let modules = builder.modules(&paths);
        builder
            .bytes
            .resize(builder.bytes.len() + self.holes * PAGE as usize, 0);
        let records: Vec<u8> = self
            .frames
            .iter()
            .flat_map(|&(module, address)| {
                let flags = (address % 2) as u32 * FRAME_EXACT;
                let module = modules[module];
                bytes_of(&FrameRecord {
                    module,
                    flags,
                    address,
                })
                .to_vec()
            })
            .collect();
        let frames = builder.chunk(CHUNK_FRAMES, &records) / 16;
        // A kind that later versions may add.
        builder.chunk(77, b"?");
        let records: Vec<u8> = self
            .sites
            .iter()
            .flat_map(|&(indices, size, function, count)| {
                let stack = self.stack(&indices);
                let mut ids: Vec<u32> = stack.iter().map(|index| (frames + index) as u32).collect();
                // Behind the last frame: no frame, or that the stack was cut.
                ids.push((size % 4) as u32);
                ids.resize(4.max(ids.len()), 0);
                let words = [ids[0], ids[1], ids[2], ids[3]];
                let size = size | u64::from(function) << SIZE_BITS;
                bytes_of(&SiteRecord {
                    frames: words,
                    size,
                    count,
                })
                .to_vec()
            })
            .collect();
        builder.chunk(CHUNK_SITES, &records);
        builder.finish(self.tail)
    }

    /// The frames of a site up to the first that is none.
    fn stack(&self, indices: &[usize; 4]) -> Vec<usize> {
        let indices = indices.iter().copied();
        indices
            .take_while(|&index| index < self.frames.len())
            .collect()
    }

    fn lookup(&self, frame: usize) -> u64 {
        let (_, address) = self.frames[frame];
        match address % 2 {
            1 => address,
            _ => address.wrapping_sub(1),
        }
    }

    fn name(&self, frame: usize) -> Option<String> {
        let (module, _) = self.frames[frame];
        let lookup = self.lookup(frame);
        Some(format!("{}+{lookup:#x}", self.modules[module]))
    }

    /// Calls by names and size.
    fn sums(&self) -> BTreeMap<(Vec<Option<String>>, u64), u64> {
        let mut sums = BTreeMap::new();
        for &(frames, size, _, count) in self.sites.iter().filter(|site| site.3 != 0) {
            let mut stack = self.stack(&frames);
            // A frame that is repeated is the root.
            if let Some(root) = stack.windows(2).position(|pair| pair[0] == pair[1]) {
                stack.truncate(root + 1);
            }
            // Two frames of one place are recursion.
            stack.dedup_by_key(|frame| (self.frames[*frame].0, self.lookup(*frame)));
            let mut names: Vec<_> = stack.into_iter().map(|frame| self.name(frame)).collect();
            names.resize(4, None);
            *sums.entry((names, size)).or_insert(0) += count;
        }
        sums
    }
}

fn read(bytes: &[u8]) -> Result<Vec<Row>, FormatError> {
    let (mut symbolizer, mut places) = (Symbolizer::new(), Places::default());
    let recording = Recording::parse(bytes)?;
    let detail = Detail::CALL_SITES;
    let profile = build::profile(&recording, detail, &mut symbolizer, &mut places)?;
    Ok(rows(&profile, false))
}

/// Reads all there is, for what it may do to the process.
fn read_everything(bytes: &[u8]) {
    let Ok(recording) = Recording::parse(bytes) else {
        return;
    };
    let _ = (
        recording.exe().len(),
        recording.cmdline().len(),
        recording.finished(),
        recording.pid(),
    );
    for site in recording.sites() {
        for id in site.frames {
            let module = recording
                .frame(id)
                .and_then(|frame| recording.module(frame.module));
            let _ = module.map(|module| module.path.len() + module.build_id.len());
        }
    }
    let (mut symbolizer, mut places) = (Symbolizer::new(), Places::default());
    for detail in [
        Detail::CALL_SITES,
        Detail::ORIGINS,
        Detail::STACKS,
        Detail::leaks(3),
        Detail::EVERYTHING,
    ] {
        let profile = build::profile(&recording, detail, &mut symbolizer, &mut places);
        let Ok(profile) = profile else { continue };
        profile.check().expect("in order");
        let _ = rows(&profile, true);
        let _ = stacks(&profile, Style::default()).write(std::io::sink());
        let sites: Vec<_> = profile.sites.iter().collect();
        let _ = leaks(&profile, 0, &sites, &[], 3);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn rows_are_the_sums_of_the_sites_by_names_and_size(model in models()) {
        let rows = read(&model.write()).unwrap();
        let found: BTreeMap<_, _> = rows
            .iter()
            .map(|row| {
                let names: Vec<_> = row.names.iter().map(|name| name.as_deref().map(str::to_owned)).collect();
                ((names, row.size), row.calls)
            })
            .collect();
        prop_assert_eq!(found.len(), rows.len());
        prop_assert_eq!(&found, &model.sums());
        prop_assert!(rows.iter().all(|row| row.total == row.size * row.calls));
        let totals = totals(&rows);
        prop_assert_eq!(totals.calls, model.sites.iter().map(|site| site.3).sum::<u64>());
        prop_assert_eq!(totals.bytes, model.sites.iter().map(|site| site.1 * site.3).sum::<u64>());
        prop_assert_eq!(totals.sites, rows.len());
    }

    #[test]
    fn the_order_of_sites_in_the_file_does_not_matter(model in models(), seed: u64) {
        let mut shuffled = model.clone();
        let len = shuffled.sites.len().max(1);
        shuffled.sites.rotate_left(seed as usize % len);
        let rows = read(&model.write()).unwrap();
        prop_assert_eq!(&read(&shuffled.write()).unwrap(), &rows);
        let mut sorted = rows.clone();
        sorted.reverse();
        sort(&mut sorted);
        prop_assert_eq!(sorted, rows);
    }

    #[test]
    fn two_recordings_are_added_up(a in models(), b in models()) {
        let (a_bytes, b_bytes) = (a.write(), b.write());
        let mut tables = Tables::default();
        for bytes in [&a_bytes, &b_bytes] {
            let recording = Recording::parse(bytes).unwrap();
            let (mut symbolizer, mut places) = (Symbolizer::new(), Places::default());
            build::add(&mut tables, &recording, Detail::CALL_SITES, &mut symbolizer, &mut places).unwrap();
        }
        let both = rows(&tables.profile, false);
        let mut sums = a.sums();
        for (site, calls) in b.sums() {
            *sums.entry(site).or_insert(0) += calls;
        }
        prop_assert_eq!(both.len(), sums.len());
        prop_assert_eq!(totals(&both).calls, sums.values().sum::<u64>());
    }

    #[test]
    fn a_recording_that_is_cut_short_is_read_up_to_there(model in models(), at: prop::sample::Index) {
        let bytes = model.write();
        let len = at.index(bytes.len() + 1);
        let cut = &bytes[..len];
        match Recording::parse(cut) {
            Ok(recording) => {
                let calls: u64 = recording.sites().map(|site| site.count).sum();
                prop_assert!(calls <= model.sites.iter().map(|site| site.3).sum());
            }
            Err(error) => prop_assert_eq!(error, FormatError::TooShort { len }),
        }
        read_everything(cut);
    }

    #[test]
    fn damage_never_panics(
        model in models(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u32>()), 1..12),
    ) {
        let mut bytes = model.write();
        for (at, word) in damage {
            // Words of the records, and of the header's part that is read.
            let at = at.index(bytes.len() / 4) * 4;
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        read_everything(&bytes);
    }

    #[test]
    fn random_chunks_never_panic(
        chunks in prop::collection::vec((0_u32..11, 0_u32..4, any::<u32>(), any::<[u32; 8]>()), 0..6),
        tail in 0_usize..5000,
        flags in 0_u32..8,
    ) {
        let mut builder = Builder::new();
        builder.put(std::mem::offset_of!(Header, flags), flags);
        let mut bytes = builder.finish(0);
        for (kind, pages, used, words) in chunks {
            let start = bytes.len();
            for word in [CHUNK_MAGIC, kind, pages, used % 5000, 0, 0, 0, 0] {
                bytes.extend(word.to_le_bytes());
            }
            bytes.extend(words.iter().flat_map(|word| (word % 0x800).to_le_bytes()));
            bytes.resize(start + pages.max(1) as usize * PAGE as usize, 0);
        }
        bytes.truncate(bytes.len().saturating_sub(tail).max(8));
        let at = std::mem::offset_of!(Header, cursor);
        if bytes.len() >= HEADER_LEN as usize {
            let cursor = bytes.len() as u64 + u64::from(tail as u32 % 3) * PAGE;
            bytes[at..at + 8].copy_from_slice(&cursor.to_le_bytes());
        }
        read_everything(&bytes);
    }

    #[test]
    fn random_bytes_are_no_recording(bytes: Vec<u8>) {
        prop_assert!(Recording::parse(&bytes).is_err());
    }
}

#[test]
fn sums_that_do_not_fit_stop_at_the_largest_number() {
    let mut model = Model {
        modules: vec!["a".into()],
        frames: vec![(0, 2)],
        sites: vec![],
        holes: 0,
        tail: 0,
    };
    let size = (1 << SIZE_BITS) - 1;
    model.sites = vec![([0; 4], size, 0, u64::MAX), ([0; 4], size, 1, 5)];
    let rows = read(&model.write()).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].calls, rows[0].total), (u64::MAX, u64::MAX));
}

/// The library writes none: else each site of a small file could ask for the time that a whole file takes.
#[test]
fn a_stack_that_is_longer_than_any_is_refused() {
    let longest = MOST_FRAMES as usize + 1;
    for (len, is_good) in [(longest, true), (longest + 1, false)] {
        let mut builder = Builder::new();
        builder.put(offset_of!(Header, flags), WHOLE_STACKS);
        let node = builder.stacks(&[vec![300; len]])[0];
        let site = SiteRecord {
            frames: [1, 1, node, 0],
            size: 8,
            count: 1,
        };
        builder.sites(1, &[site]);
        let bytes = builder.finish(0);
        let recording = Recording::parse(&bytes).unwrap();
        let site = recording.sites().next().unwrap();
        assert_eq!(recording.stack(&site).is_ok(), is_good);
        assert_eq!(site.frames, [300, 0, 0, 0]);
    }
}

#[test]
fn notes_are_read_from_codes_and_from_the_sentences_of_format_version_6() {
    let sentence = b"hook \"take\": found in a library that was loaded later";
    let later = Note::new(Kind::HookMatchedLater, ["take".to_owned()]);
    let (number, _, about) = later.record();
    for (version, number, text) in [(6, 0, &sentence[..]), (7, number, &about[..])] {
        let mut builder = Builder::new();
        builder.put(offset_of!(Header, version), version);
        let record = TextRecord {
            number,
            flags: 0,
            len: text.len() as u32,
            reserved: 0,
        };
        builder.chunk(CHUNK_NOTES, &[bytes_of(&record), text].concat());
        let bytes = builder.finish(0);
        let recording = Recording::parse(&bytes).expect("parsed");
        let notes: Vec<_> = recording.notes().collect();
        let [note] = &notes[..] else {
            panic!("{notes:?}");
        };
        assert_eq!(note.map(|text| text.to_string()), later);
    }
}

#[test]
fn what_became_of_blocks_is_read_from_recordings_of_format_version_7() {
    let words = [8, 7, 6, 5, 4, 3_u64];
    let [frees, temporary, at_peak, grown, copied, slack] = words;
    let mut old = Vec::new();
    old.extend(words[..3].iter().flat_map(|word| word.to_le_bytes()));
    // Epoch, and number of the record.
    old.extend([1, 99_u32].iter().flat_map(|word| word.to_le_bytes()));
    old.extend(words[3..].iter().flat_map(|word| word.to_le_bytes()));
    // The thread, and the buckets of both kinds, in which each has a number of its own.
    let numbers = std::iter::once(2).chain(100..100 + (AGES + TIMES) as u32);
    old.extend(numbers.flat_map(u32::to_le_bytes));
    let mut builder = Builder::new();
    builder.put(offset_of!(Header, version), 7);
    builder.put(offset_of!(Header, flags), LIVE);
    builder.put_long(offset_of!(Header, epoch), 1);
    let site = SiteRecord {
        frames: [300, 0, 0, 0],
        size: 8,
        count: 9,
    };
    let start = builder.live_sites(ENDED_THREADS, &[(site, no_live())]);
    let behind = start + size_of::<SiteRecord>();
    builder.bytes[behind..behind + old.len()].copy_from_slice(&old);
    assert_eq!(old.len() + size_of::<SiteRecord>(), LIVE_SITE_LEN);
    let bytes = builder.finish(0);
    let recording = Recording::parse(&bytes).expect("parsed");
    let site = recording.sites().next().expect("a site");
    let live = site.live.expect("blocks were followed");
    assert_eq!((site.count, site.thread), (9, 2));
    let read = [
        live.frees,
        live.temporary,
        live.at_peak as u64,
        live.grown,
        live.copied,
        live.slack,
    ];
    assert_eq!(read, [frees, temporary, at_peak, grown, copied, slack]);
    let ages: [u32; AGES] = std::array::from_fn(|i| 100 + i as u32);
    let times: [u32; TIMES] = std::array::from_fn(|i| (100 + AGES + i) as u32);
    assert_eq!((live.ages, live.times), (ages, times));
}
