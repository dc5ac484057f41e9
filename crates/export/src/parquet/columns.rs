//! The columns of the Parquet file, in their order. A change here is one of the format: `docs/parquet.md`.

use ::parquet::data_type::ByteArray;
use skipheap_profile::report::figures::LiveSums;
use skipheap_profile::report::leaked::Leaked;
use skipheap_profile::sum::{hex, identity, runs};
use skipheap_profile::{FrameKind, NONE, Process, Profile, Site, Str};

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text.
    Text,
    /// A whole number, or an amount of bytes.
    Number,
    /// A number.
    Real,
    /// A moment, in microseconds since 1970.
    Time,
    /// A list of texts.
    Texts,
}

/// What becomes of a column when the rows of many runs are summed up: see [`super::compact`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A fact about the process that keeps runs apart.
    Apart,
    /// A fact about the process that is kept if all runs agree.
    Agreed,
    /// Start of the process: the earliest is kept.
    Earliest,
    /// Identifies the process, or the runs that were summed up.
    Identity,
    /// How many runs that is.
    Runs,
    /// Tells one site from another.
    Site,
    /// A figure that is summed.
    Sum,
    /// A figure whose highest value is kept, because the peaks of different runs were at different
    /// times.
    Highest,
    /// A standard error: the sum of independent estimates has the root of the sum of the squares.
    Error,
    /// A figure of a comparison. There are no sums of comparisons.
    Comparison,
}

/// A value of a row.
pub(super) enum Cell {
    /// An index into the texts of the [`Context`].
    Text(Option<usize>),
    /// Also a time.
    Number(Option<u64>),
    Real(f64),
    Texts(Vec<Option<usize>>),
}

/// A column.
pub(super) struct Column {
    /// Its name.
    pub(super) name: &'static str,
    /// What it holds.
    pub(super) kind: Kind,
    /// Whether the value may be unknown.
    pub(super) is_nullable: bool,
    /// What becomes of it in a sum over runs.
    pub(super) role: Role,
    /// The value of a site.
    pub(super) of: fn(&Context<'_>, &Site) -> Cell,
}

/// A profile with its texts as the writer wants them.
pub(super) struct Context<'p> {
    profile: &'p Profile,
    /// Those of the profile, then the build ids and the name of the tool.
    texts: Vec<ByteArray>,
    /// By process: the build id of the executable, if it is one.
    build_ids: Vec<Option<usize>>,
    /// By process: what identifies it.
    identities: Vec<usize>,
    /// By process: its labels as `key=value`.
    labels: Vec<Vec<usize>>,
    tool: usize,
}

impl<'p> Context<'p> {
    /// Of a profile with estimates.
    pub(super) fn new(profile: &'p Profile) -> Self {
        let mut texts: Vec<ByteArray> = profile
            .strings
            .iter()
            .map(|text| ByteArray::from(&**text))
            .collect();
        let mut add = |text: &str| {
            texts.push(ByteArray::from(text));
            texts.len() - 1
        };
        let tool = add(&profile.tool);
        let mut build_ids = Vec::with_capacity(profile.processes.len());
        let mut identities = Vec::with_capacity(profile.processes.len());
        let mut labels = Vec::with_capacity(profile.processes.len());
        for process in &profile.processes {
            let of_process = profile.labels(process);
            labels.push(
                of_process
                    .map(|(key, value)| add(&format!("{key}={value}")))
                    .collect(),
            );
            let build_id = build_id(profile, process);
            build_ids.push((!build_id.is_empty()).then(|| add(&build_id)));
            identities.push(add(&format!("{:016x}", identity(profile, process))));
        }
        Self {
            profile,
            texts,
            build_ids,
            identities,
            labels,
            tool,
        }
    }

    /// A text; `None` of none.
    pub(super) fn text(&self, index: Option<usize>) -> Option<ByteArray> {
        self.texts.get(index?).cloned()
    }

    fn process(&self, site: &Site) -> &Process {
        &self.profile.processes[site.process as usize]
    }
}

/// The build id of the executable in hexadecimal digits; empty if it has none, or if the process stands for
/// runs of several builds.
fn build_id(profile: &Profile, process: &Process) -> String {
    match &process.merged {
        Some(merged) => match merged.builds[..] {
            [one] => profile.text(one).to_owned(),
            _ => String::new(),
        },
        None => hex(profile.build_id(process)),
    }
}

/// The text of a table; 0 is not known.
fn text(index: Str) -> Cell {
    Cell::Text((index != 0).then_some(index as usize))
}

fn number(number: u64) -> Cell {
    Cell::Number(Some(number))
}

fn live(site: &Site, of: fn(&LiveSums) -> u64) -> Cell {
    Cell::Number(site.figures.live.as_ref().map(of))
}

fn live_bytes(site: &Site, of: fn(&LiveSums) -> u64) -> Cell {
    let blocks = site.figures.live.as_ref().map(of);
    Cell::Number(blocks.map(|blocks| blocks.saturating_mul(site.size)))
}

fn old_bytes(site: &Site, of: fn(&LiveSums) -> u64) -> Cell {
    let live = site.old.as_deref().and_then(|old| old.live.as_ref());
    Cell::Number(live.map(|live| of(live).saturating_mul(site.size)))
}

fn pc(context: &Context<'_>, site: &Site, level: usize) -> Cell {
    match context.profile.call_site(site.node)[level] {
        NONE => Cell::Text(None),
        function => text(context.profile.functions[function as usize].name),
    }
}

fn leaked(site: &Site, of: impl Fn(Leaked) -> u64) -> Cell {
    let leaked = site.figures.live.as_ref().and_then(|live| live.leaked);
    Cell::Number(leaked.map(of))
}

/// Of the place that asked for memory: file, line and module, where it is one.
fn place(context: &Context<'_>, site: &Site) -> Option<(Str, u32, Str)> {
    let profile = context.profile;
    let frame = profile.frame(profile.nodes.get(site.node as usize)?);
    if frame.kind == FrameKind::Marker {
        return None;
    }
    let function = profile.function(frame);
    let module = profile.modules.get(function.module as usize);
    Some((
        function.file,
        frame.line,
        module.map_or(0, |module| module.path),
    ))
}

fn duration(process: &Process) -> Option<u64> {
    (process.end_ns != 0).then(|| process.end_ns.saturating_sub(process.start_ns))
}

const fn known(
    name: &'static str,
    kind: Kind,
    role: Role,
    of: fn(&Context<'_>, &Site) -> Cell,
) -> Column {
    Column {
        name,
        kind,
        is_nullable: false,
        role,
        of,
    }
}

const fn nullable(
    name: &'static str,
    kind: Kind,
    role: Role,
    of: fn(&Context<'_>, &Site) -> Cell,
) -> Column {
    Column {
        is_nullable: true,
        ..known(name, kind, role, of)
    }
}

/// All columns.
pub(super) const COLUMNS: &[Column] = &[
    known("program", Kind::Text, Role::Apart, |c, site| {
        text(c.process(site).program)
    }),
    known("exe", Kind::Text, Role::Agreed, |c, site| {
        text(c.process(site).exe)
    }),
    nullable("build_id", Kind::Text, Role::Apart, |c, site| {
        Cell::Text(c.build_ids[site.process as usize])
    }),
    known("command", Kind::Texts, Role::Agreed, |c, site| {
        let words = c.process(site).command.iter();
        Cell::Texts(words.map(|&word| Some(word as usize)).collect())
    }),
    known("pid", Kind::Number, Role::Agreed, |c, site| {
        number(c.process(site).pid.into())
    }),
    known("ppid", Kind::Number, Role::Agreed, |c, site| {
        number(c.process(site).ppid.into())
    }),
    known("host", Kind::Text, Role::Agreed, |c, site| {
        text(c.process(site).host)
    }),
    known("os", Kind::Text, Role::Agreed, |c, site| {
        text(c.process(site).os)
    }),
    known("arch", Kind::Text, Role::Apart, |c, site| {
        text(c.process(site).arch)
    }),
    known("start", Kind::Time, Role::Earliest, |c, site| {
        number(c.process(site).start_ns / 1000)
    }),
    nullable("duration_ns", Kind::Number, Role::Agreed, |c, site| {
        Cell::Number(duration(c.process(site)))
    }),
    known("sample_bytes", Kind::Number, Role::Apart, |c, site| {
        number(c.process(site).sample_bytes)
    }),
    known("tool", Kind::Text, Role::Apart, |c, _| {
        Cell::Text(Some(c.tool))
    }),
    nullable("pc0", Kind::Text, Role::Site, |c, site| pc(c, site, 0)),
    nullable("pc1", Kind::Text, Role::Site, |c, site| pc(c, site, 1)),
    nullable("pc2", Kind::Text, Role::Site, |c, site| pc(c, site, 2)),
    nullable("pc3", Kind::Text, Role::Site, |c, site| pc(c, site, 3)),
    known("stack", Kind::Texts, Role::Site, |c, site| {
        let function = |node: &_| c.profile.function(c.profile.frame(node));
        let names = c
            .profile
            .stack(site.node)
            .map(|(_, node)| function(node).name);
        Cell::Texts(names.map(|name| Some(name as usize)).collect())
    }),
    nullable("file", Kind::Text, Role::Site, |c, site| {
        text(place(c, site).map_or(0, |place| place.0))
    }),
    nullable("line", Kind::Number, Role::Site, |c, site| {
        let line = place(c, site).map(|place| place.1);
        Cell::Number(line.filter(|&line| line != 0).map(u64::from))
    }),
    nullable("module", Kind::Text, Role::Site, |c, site| {
        text(place(c, site).map_or(0, |place| place.2))
    }),
    nullable("allocator", Kind::Text, Role::Site, |_, site| {
        text(site.allocator)
    }),
    nullable("thread", Kind::Text, Role::Site, |c, site| {
        text(
            c.profile
                .threads
                .get(site.thread as usize)
                .copied()
                .unwrap_or(0),
        )
    }),
    known("size", Kind::Number, Role::Site, |_, site| {
        number(site.size)
    }),
    known("calls", Kind::Number, Role::Sum, |_, site| {
        number(site.figures.calls)
    }),
    known("bytes", Kind::Number, Role::Sum, |_, site| {
        number(site.bytes())
    }),
    known("samples", Kind::Number, Role::Sum, |_, site| {
        number(site.figures.samples)
    }),
    known("standard_error", Kind::Real, Role::Error, |_, site| {
        Cell::Real(site.figures.variance.sqrt())
    }),
    nullable("frees", Kind::Number, Role::Sum, |_, site| {
        live(site, |live| live.frees)
    }),
    nullable("live_blocks", Kind::Number, Role::Sum, |_, site| {
        live(site, LiveSums::live)
    }),
    nullable("live_bytes", Kind::Number, Role::Sum, |_, site| {
        live_bytes(site, LiveSums::live)
    }),
    nullable("peak_blocks", Kind::Number, Role::Highest, |_, site| {
        live(site, LiveSums::peak)
    }),
    nullable("peak_bytes", Kind::Number, Role::Highest, |_, site| {
        live_bytes(site, LiveSums::peak)
    }),
    nullable("temporary", Kind::Number, Role::Sum, |_, site| {
        live(site, |live| live.temporary)
    }),
    nullable("grown", Kind::Number, Role::Sum, |_, site| {
        live(site, |live| live.grown)
    }),
    nullable("bytes_copied", Kind::Number, Role::Sum, |_, site| {
        live(site, |live| live.copied)
    }),
    nullable("slack_bytes", Kind::Number, Role::Sum, |_, site| {
        live(site, |live| live.slack)
    }),
    nullable("old_calls", Kind::Number, Role::Comparison, |_, site| {
        Cell::Number(site.old.as_deref().map(|old| old.calls))
    }),
    nullable("old_bytes", Kind::Number, Role::Comparison, |_, site| {
        Cell::Number(
            site.old
                .as_deref()
                .map(|old| old.calls.saturating_mul(site.size)),
        )
    }),
    nullable(
        "old_live_bytes",
        Kind::Number,
        Role::Comparison,
        |_, site| old_bytes(site, LiveSums::live),
    ),
    nullable(
        "old_peak_bytes",
        Kind::Number,
        Role::Comparison,
        |_, site| old_bytes(site, LiveSums::peak),
    ),
    known("process", Kind::Text, Role::Identity, |c, site| {
        Cell::Text(Some(c.identities[site.process as usize]))
    }),
    known("runs", Kind::Number, Role::Runs, |c, site| {
        number(runs(c.process(site)))
    }),
    nullable(
        "directly_leaked_blocks",
        Kind::Number,
        Role::Sum,
        |_, site| leaked(site, |leaked| leaked.direct),
    ),
    nullable(
        "directly_leaked_bytes",
        Kind::Number,
        Role::Sum,
        |_, site| leaked(site, |leaked| leaked.direct.saturating_mul(site.size)),
    ),
    nullable(
        "indirectly_leaked_blocks",
        Kind::Number,
        Role::Sum,
        |_, site| leaked(site, |leaked| leaked.indirect),
    ),
    nullable(
        "indirectly_leaked_bytes",
        Kind::Number,
        Role::Sum,
        |_, site| leaked(site, |leaked| leaked.indirect.saturating_mul(site.size)),
    ),
    known("labels", Kind::Texts, Role::Apart, |c, site| {
        let labels = c.labels[site.process as usize].iter();
        Cell::Texts(labels.map(|&label| Some(label)).collect())
    }),
];
