//! Sums up the rows of many files: the compaction of a dataset.
//!
//! Runs of one program with the same build, architecture, sampling rate and version of the tool become one
//! group, like a process of a merged profile, and the same site of all these runs becomes one row. Every row
//! says in `runs` for how many runs its group stands, so that a mean per run is the same before and after.
//! What becomes of each column is its [`Role`].

use super::columns::{COLUMNS, Column, Role};
use super::read::Source;
use super::write::{File, GROUP, SORTED_BY, Value};
use super::{METADATA, SortKey};
use ::parquet::data_type::ByteArray;
use ::parquet::errors::{ParquetError, Result};
use ::parquet::file::reader::ChunkReader;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;

/// Name of the entry of metadata: JSON with the names of the files that were summed up.
const INPUTS: &str = "skipheap-compacted";

/// The names of the files that a compacted file holds; none if the file was not compacted.
///
/// # Errors
/// When it cannot be read, or is not a file of Parquet that this version of the tool wrote.
pub fn inputs_of(file: impl ChunkReader + 'static) -> Result<BTreeSet<String>> {
    noted_inputs(&Source::new(file)?)
}

fn noted_inputs(source: &Source) -> Result<BTreeSet<String>> {
    source.note(INPUTS).map_or(Ok(BTreeSet::new()), |text| {
        serde_json::from_str(text).map_err(|error| ParquetError::General(error.to_string()))
    })
}

/// A value as a part of a key. Texts and lists are indices into [`Texts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum KeyPart {
    Null,
    Number(i64),
    Text(u32),
    Texts(u32),
}

/// Every text and every list of texts once.
#[derive(Default)]
struct Texts {
    ids: HashMap<Box<[u8]>, u32>,
    texts: Vec<ByteArray>,
    list_ids: HashMap<Box<[u32]>, u32>,
    lists: Vec<Box<[u32]>>,
}

impl Texts {
    fn text(&mut self, text: &ByteArray) -> u32 {
        if let Some(&known) = self.ids.get(text.data()) {
            return known;
        }
        let next = self.texts.len() as u32;
        self.ids.insert(text.data().into(), next);
        // A copy: the text that was read keeps its whole page in memory.
        self.texts.push(ByteArray::from(text.data().to_vec()));
        next
    }

    fn key(&mut self, value: &Value) -> KeyPart {
        match value {
            Value::Number(number) => KeyPart::Number(*number),
            Value::Text(text) => KeyPart::Text(self.text(text)),
            Value::Texts(texts) => {
                let list: Box<[u32]> = texts.iter().map(|text| self.text(text)).collect();
                let next = self.lists.len() as u32;
                let id = *self.list_ids.entry(list.clone()).or_insert(next);
                if id == next {
                    self.lists.push(list);
                }
                KeyPart::Texts(id)
            }
            Value::Null | Value::Real(_) => KeyPart::Null,
        }
    }

    fn value(&self, key: KeyPart) -> Value {
        let text = |index: &u32| self.texts.get(*index as usize).cloned().unwrap_or_default();
        match key {
            KeyPart::Null => Value::Null,
            KeyPart::Number(number) => Value::Number(number),
            KeyPart::Text(index) => Value::Text(text(&index)),
            KeyPart::Texts(index) => {
                let list = self.lists.get(index as usize).map_or(&[][..], |list| list);
                Value::Texts(list.iter().map(text).collect())
            }
        }
    }
}

/// The runs that are summed up.
struct Group {
    /// Values of the columns of [`Role::Apart`].
    apart: Vec<KeyPart>,
    /// Values of the columns of [`Role::Agreed`].
    agreed: Vec<KeyPart>,
    /// The earliest start, in microseconds since 1970.
    start: i64,
    runs: i64,
}

/// A group and the values of the columns of [`Role::Site`].
type SiteKey = (u32, Vec<KeyPart>);

/// The sums of a site.
struct Sums {
    /// Columns of [`Role::Sum`]; `None` where no run knows it.
    figures: Vec<Option<i64>>,
    /// Columns of [`Role::Highest`]; `None` where no run knows it.
    highest: Vec<Option<i64>>,
    /// The sum of the squares of the standard errors.
    squares: f64,
}

/// An honesty counter in the file's metadata.
#[derive(Serialize, Deserialize)]
struct Loss {
    what: String,
    count: u64,
}

#[derive(Serialize, Deserialize)]
struct Losses {
    losses: Vec<Loss>,
}

/// The rows of many files, summed up.
#[derive(Default)]
pub struct Compaction {
    texts: Texts,
    groups: Vec<Group>,
    known_groups: HashMap<Vec<KeyPart>, u32>,
    sites: HashMap<SiteKey, Sums>,
    inputs: BTreeSet<String>,
    losses: BTreeMap<String, u64>,
}

impl Compaction {
    /// Adds the rows of a file. `name` identifies it; the name of a compacted file is not kept, but the names
    /// that it holds.
    ///
    /// # Errors
    /// When it cannot be read, or is not a file of Parquet that the tool wrote. Nothing of it is added then.
    pub fn add(&mut self, name: &str, file: impl ChunkReader + 'static) -> Result<()> {
        let source = Source::new(file)?;
        let held = noted_inputs(&source)?;
        let losses: Option<Losses> = source
            .note(METADATA)
            .map(serde_json::from_str)
            .transpose()
            .map_err(|error| ParquetError::General(error.to_string()))?;
        let groups = (0..source.groups()).map(|group| source.group(group));
        let groups = groups.collect::<Result<Vec<_>>>()?;
        match held.is_empty() {
            true => drop(self.inputs.insert(name.to_owned())),
            false => self.inputs.extend(held),
        }
        for loss in losses.into_iter().flat_map(|of_file| of_file.losses) {
            let sum = self.losses.entry(loss.what).or_default();
            *sum = sum.saturating_add(loss.count);
        }
        // The runs of this file that were counted: a run has many rows.
        let mut counted = HashSet::new();
        for columns in groups {
            let rows = columns.first().map_or(0, Vec::len);
            for row in 0..rows {
                let values = columns.iter().filter_map(|column| column.get(row));
                self.add_row(values, &mut counted);
            }
        }
        Ok(())
    }

    fn add_row<'v>(
        &mut self,
        values: impl Iterator<Item = &'v Value>,
        counted: &mut HashSet<KeyPart>,
    ) {
        let (mut apart, mut agreed, mut site) = (vec![], vec![], vec![]);
        let (mut figures, mut highest) = (vec![], vec![]);
        let (mut start, mut runs, mut square) = (0, 1, 0.0);
        let mut identity = KeyPart::Null;
        for (column, value) in COLUMNS.iter().zip(values) {
            match (column.role, value) {
                (Role::Apart, value) => apart.push(self.texts.key(value)),
                (Role::Agreed, value) => agreed.push(self.texts.key(value)),
                (Role::Site, value) => site.push(self.texts.key(value)),
                (Role::Identity, value) => identity = self.texts.key(value),
                (Role::Earliest, Value::Number(number)) => start = *number,
                (Role::Runs, Value::Number(number)) => runs = *number,
                (Role::Sum, Value::Number(number)) => figures.push(Some(*number)),
                (Role::Sum, _) => figures.push(None),
                (Role::Highest, Value::Number(number)) => highest.push(Some(*number)),
                (Role::Highest, _) => highest.push(None),
                (Role::Error, Value::Real(error)) => square = error * error,
                _ => {}
            }
        }
        let next = self.groups.len() as u32;
        let place = *self.known_groups.entry(apart.clone()).or_insert(next);
        if place == next {
            self.groups.push(Group {
                apart,
                agreed: agreed.clone(),
                start,
                runs: 0,
            });
        }
        if let Some(group) = self.groups.get_mut(place as usize)
            && counted.insert(identity)
        {
            group.runs = group.runs.saturating_add(runs);
            group.start = group.start.min(start);
            for (ours, theirs) in group.agreed.iter_mut().zip(agreed) {
                if *ours != theirs {
                    *ours = KeyPart::Null;
                }
            }
        }
        let sums = self.sites.entry((place, site)).or_insert_with(|| Sums {
            figures: vec![None; figures.len()],
            highest: vec![None; highest.len()],
            squares: 0.0,
        });
        sums.squares += square;
        for (sum, figure) in sums.figures.iter_mut().zip(figures) {
            *sum = match (*sum, figure) {
                (Some(a), Some(b)) => Some(a.saturating_add(b)),
                (a, b) => a.or(b),
            };
        }
        for (most, figure) in sums.highest.iter_mut().zip(highest) {
            // Nothing is less than any number.
            *most = (*most).max(figure);
        }
    }

    /// Returns a number that tells a group of runs from every other group of the dataset: it depends on what the
    /// runs have in common and on the files that they come from.
    fn identity(&self, group: &Group) -> u64 {
        // It only has to differ from the others; the function does not matter.
        let mut hasher = DefaultHasher::new();
        for &part in &group.apart {
            match self.texts.value(part) {
                Value::Text(text) => text.data().hash(&mut hasher),
                Value::Number(number) => number.hash(&mut hasher),
                Value::Texts(texts) => {
                    texts.iter().for_each(|text| text.data().hash(&mut hasher));
                }
                Value::Null | Value::Real(_) => 0_u8.hash(&mut hasher),
            }
        }
        self.inputs.hash(&mut hasher);
        hasher.finish()
    }

    /// Writes the sums as a sorted file.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write<W: Write + Send>(self, out: W) -> Result<W> {
        let table = Table::new(&self);
        let mut rows: Vec<(&SiteKey, &Sums)> = self.sites.iter().collect();
        rows.sort_by_cached_key(|&(key, _)| table.order(key));
        let mut file = File::new(out, true)?;
        for rows in rows.chunks(GROUP) {
            let table = &table;
            file.add(|column, _| {
                let place = table.places.get(column).copied();
                rows.iter()
                    .map(move |&(key, sums)| table.value(place, key, Some(sums)))
            })?;
        }
        let losses = self.losses.iter().map(|(what, &count)| Loss {
            what: what.clone(),
            count,
        });
        let losses = Losses {
            losses: losses.collect(),
        };
        let in_json = |error: serde_json::Error| ParquetError::General(error.to_string());
        file.note(METADATA, serde_json::to_string(&losses).map_err(in_json)?);
        file.note(
            INPUTS,
            serde_json::to_string(&self.inputs).map_err(in_json)?,
        );
        file.finish()
    }
}

/// Where the value of a column is kept.
#[derive(Clone, Copy)]
struct Place {
    role: Role,
    /// Among the columns of this role.
    index: usize,
}

/// The sums as rows and columns.
struct Table<'c> {
    of: &'c Compaction,
    /// By group.
    identities: Vec<u64>,
    /// By column.
    places: Vec<Place>,
    /// Of the columns of [`SORTED_BY`].
    sorted_by: Vec<Option<Place>>,
}

impl<'c> Table<'c> {
    fn new(of: &'c Compaction) -> Self {
        let columns = COLUMNS.iter().enumerate();
        let places: Vec<Place> = columns
            .map(|(column, &Column { role, .. })| Place {
                role,
                index: COLUMNS
                    .iter()
                    .take(column)
                    .filter(|other| other.role == role)
                    .count(),
            })
            .collect();
        let named = |name: &&str| {
            let column = COLUMNS.iter().position(|column| column.name == *name)?;
            places.get(column).copied()
        };
        Self {
            of,
            identities: of.groups.iter().map(|group| of.identity(group)).collect(),
            sorted_by: SORTED_BY.iter().map(named).collect(),
            places,
        }
    }

    /// What a row is sorted by. After the columns that the file declares, everything that tells sites apart
    /// makes the order the same each time.
    fn order(&self, key: &SiteKey) -> (Vec<SortKey>, Option<u64>) {
        let declared = self
            .sorted_by
            .iter()
            .map(|&place| self.value(place, key, None));
        let site = key.1.iter().map(|&part| self.of.texts.value(part));
        let site = site.map(|value| match value {
            Value::Texts(texts) => {
                let texts = texts.iter().map(ByteArray::data);
                SortKey::Text(texts.collect::<Vec<_>>().join(&0))
            }
            value => SortKey::from(value),
        });
        let all = declared.map(SortKey::from).chain(site);
        (all.collect(), self.identities.get(key.0 as usize).copied())
    }

    /// The value of a row; figures are only known with their sums.
    fn value(&self, place: Option<Place>, key: &SiteKey, sums: Option<&Sums>) -> Value {
        let (Some(Place { role, index }), Some(group)) =
            (place, self.of.groups.get(key.0 as usize))
        else {
            return Value::Null;
        };
        let part = |parts: &[KeyPart]| {
            let part = parts.get(index).copied();
            self.of.texts.value(part.unwrap_or(KeyPart::Null))
        };
        match role {
            Role::Apart => part(&group.apart),
            Role::Agreed => part(&group.agreed),
            Role::Site => part(&key.1),
            Role::Earliest => Value::Number(group.start),
            Role::Identity => {
                let identity = self.identities.get(key.0 as usize).copied();
                let text = format!("{:016x}", identity.unwrap_or(0));
                Value::Text(ByteArray::from(&*text))
            }
            Role::Runs => Value::Number(group.runs),
            Role::Sum => {
                let figure = sums.and_then(|sums| sums.figures.get(index).copied());
                figure.flatten().map_or(Value::Null, Value::Number)
            }
            Role::Highest => {
                let figure = sums.and_then(|sums| sums.highest.get(index).copied());
                figure.flatten().map_or(Value::Null, Value::Number)
            }
            Role::Error => Value::Real(sums.map_or(0.0, |sums| sums.squares.sqrt())),
            Role::Comparison => Value::Null,
        }
    }
}
