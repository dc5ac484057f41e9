//! Names of functions with their namespaces and classes, for those that a compiler wrote no symbol of:
//! GCC does so for inlined functions of internal linkage, such as lambdas.

use super::demangle::demangle;
use super::hash::FastMap;
use gimli::{
    AttributeValue, DwTag, EndianSlice, LittleEndian, Unit, UnitHeader, UnitOffset, UnitRef,
};
use std::rc::Rc;

/// The reader of all sections.
pub(super) type Slice<'s> = EndianSlice<'s, LittleEndian>;

/// References from one entry to another that are followed, and functions whose classes are nested in
/// functions.
const MOST_STEPS: u32 = 16;
/// Namespaces and classes of a name.
const MOST_SCOPES: usize = 64;
/// Longest name in bytes.
const LONGEST: usize = 1 << 14;

/// Where a unit is: the address of its [`gimli::Dwarf`], and its offset there.
type UnitKey = (usize, usize);

/// A scope or function: the one around it, and its place among the unnamed ones there.
#[derive(Clone, Copy)]
struct Scope {
    parent: Option<usize>,
    unnamed: u32,
}

/// Finds names; remembers each one, and the scopes of the units that it met.
#[derive(Default)]
pub(super) struct QualifiedNames<'s> {
    names: FastMap<(UnitKey, usize), Option<Rc<[u8]>>>,
    scopes: FastMap<UnitKey, Rc<FastMap<usize, Scope>>>,
    headers: FastMap<usize, Rc<Vec<UnitHeader<Slice<'s>>>>>,
    units: FastMap<UnitKey, Option<Rc<Unit<Slice<'s>>>>>,
}

/// What an entry says of its name.
#[derive(Default)]
struct Named<'s> {
    name: Option<Slice<'s>>,
    linkage_name: Option<Slice<'s>>,
    origin: Option<AttributeValue<Slice<'s>>>,
}

impl<'s> QualifiedNames<'s> {
    /// The name of the function whose entry is at `offset` of a unit, if it has one.
    pub(super) fn of(
        &mut self,
        unit: UnitRef<'_, Slice<'s>>,
        offset: UnitOffset,
    ) -> Option<Rc<[u8]>> {
        let key = (key_of(&unit), offset.0);
        if let Some(known) = self.names.get(&key) {
            return known.clone();
        }
        let name = self
            .function(unit, offset, MOST_STEPS)
            .filter(|name| name.len() <= LONGEST)
            .map(|name| Rc::from(name.as_bytes()));
        self.names.insert(key, name.clone());
        name
    }

    fn function(
        &mut self,
        unit: UnitRef<'_, Slice<'s>>,
        offset: UnitOffset,
        steps: u32,
    ) -> Option<String> {
        let steps = steps.checked_sub(1)?;
        let named = named(unit, offset)?;
        if let Some(symbol) = named.linkage_name {
            return Some(demangle(symbol.slice()));
        }
        // The declaration, which this entry refers to, stands in the class or namespace.
        let other = match named.origin {
            Some(AttributeValue::UnitRef(at)) => self.function(unit, at, steps),
            Some(AttributeValue::DebugInfoRef(at)) => {
                self.function_elsewhere(unit.dwarf, at.0, steps)
            }
            Some(AttributeValue::DebugInfoRefSup(at)) => {
                self.function_elsewhere(unit.dwarf.sup()?, at.0, steps)
            }
            _ => None,
        };
        if other.is_some() {
            return other;
        }
        let name = named.name?.to_string_lossy();
        let prefix = self.prefix(unit, offset, &name, steps);
        Some(prefix + &name)
    }

    /// As [`Self::function`], by the offset of an entry in all debug information of a file.
    fn function_elsewhere(
        &mut self,
        dwarf: &gimli::Dwarf<Slice<'s>>,
        at: usize,
        steps: u32,
    ) -> Option<String> {
        let file = std::ptr::from_ref(dwarf) as usize;
        let headers = self.headers.entry(file).or_insert_with(|| {
            let mut headers = Vec::new();
            let mut units = dwarf.units();
            while let Ok(Some(header)) = units.next() {
                headers.push(header);
            }
            Rc::new(headers)
        });
        let start_of = |header: &UnitHeader<_>| header.debug_info_offset().map_or(0, |at| at.0);
        let index = headers.partition_point(|header| start_of(header) <= at);
        let header = *headers.get(index.checked_sub(1)?)?;
        let start = start_of(&header);
        let offset = UnitOffset(at.checked_sub(start)?);
        let unit = self
            .units
            .entry((file, start))
            .or_insert_with(|| dwarf.unit(header).ok().map(Rc::new))
            .clone()?;
        self.function(UnitRef::new(dwarf, &unit), offset, steps)
    }

    /// The namespaces and classes around a function, each with `::` after it.
    fn prefix(
        &mut self,
        unit: UnitRef<'_, Slice<'s>>,
        offset: UnitOffset,
        function: &str,
        steps: u32,
    ) -> String {
        let scopes = self.scopes_of(unit);
        let mut parts: Vec<String> = Vec::new();
        let mut at = scopes.get(&offset.0).and_then(|scope| scope.parent);
        while let Some(offset) = at
            && parts.len() < MOST_SCOPES
        {
            let offset = UnitOffset(offset);
            let Some(tag) = tag_at(unit, offset) else {
                break;
            };
            if tag == gimli::DW_TAG_subprogram {
                // A function inside of a function, as C and Ada have it, is called by its own name.
                if !parts.is_empty()
                    && let Some(name) = self.function(unit, offset, steps)
                {
                    parts.push(name);
                }
                break;
            }
            let named = named(unit, offset).unwrap_or_default();
            if named.name.is_none()
                && let Some(AttributeValue::UnitRef(declaration)) = named.origin
                && declaration < offset
            {
                // The class is defined outside of the one that declares it.
                at = Some(declaration.0);
                continue;
            }
            let name = named.name;
            let scope = scopes.get(&offset.0);
            parts.push(match name {
                Some(name) => name.to_string_lossy().into_owned(),
                None if tag == gimli::DW_TAG_namespace => "(anonymous namespace)".to_owned(),
                None if function == "operator()" && parts.is_empty() => {
                    let number = scope.map_or(1, |scope| scope.unnamed);
                    format!("{{lambda#{number}}}")
                }
                None => "(anonymous class)".to_owned(),
            });
            at = scope.and_then(|scope| scope.parent);
        }
        parts.reverse();
        parts.iter().map(|part| format!("{part}::")).collect()
    }

    /// The scopes and functions of a unit by their offsets.
    fn scopes_of(&mut self, unit: UnitRef<'_, Slice<'s>>) -> Rc<FastMap<usize, Scope>> {
        let scopes = self.scopes.entry(key_of(&unit)).or_insert_with(|| {
            let mut scopes = FastMap::default();
            // What cannot be read ends the list.
            let _ = read_scopes(unit, &mut scopes);
            Rc::new(scopes)
        });
        Rc::clone(scopes)
    }
}

fn key_of(unit: &UnitRef<'_, Slice<'_>>) -> UnitKey {
    let start = unit.header.debug_info_offset().map_or(0, |at| at.0);
    (std::ptr::from_ref(unit.dwarf) as usize, start)
}

fn named<'s>(unit: UnitRef<'_, Slice<'s>>, offset: UnitOffset) -> Option<Named<'s>> {
    let mut entries = unit.entries_raw(Some(offset)).ok()?;
    let abbreviation = entries.read_abbreviation().ok()??;
    let mut named = Named::default();
    for specification in abbreviation.attributes() {
        let attribute = entries.read_attribute(*specification).ok()?;
        let is_short = |text: &Slice<'_>| text.slice().len() <= LONGEST;
        let text = || unit.attr_string(attribute.value()).ok().filter(is_short);
        match attribute.name() {
            gimli::DW_AT_linkage_name | gimli::DW_AT_MIPS_linkage_name => {
                named.linkage_name = text();
            }
            gimli::DW_AT_name => named.name = text(),
            gimli::DW_AT_abstract_origin | gimli::DW_AT_specification => {
                named.origin = Some(attribute.value());
            }
            _ => {}
        }
    }
    Some(named)
}

fn tag_at(unit: UnitRef<'_, Slice<'_>>, offset: UnitOffset) -> Option<DwTag> {
    let mut entries = unit.entries_raw(Some(offset)).ok()?;
    Some(entries.read_abbreviation().ok()??.tag())
}

fn read_scopes(
    unit: UnitRef<'_, Slice<'_>>,
    scopes: &mut FastMap<usize, Scope>,
) -> gimli::Result<()> {
    let mut around: Vec<(isize, usize)> = Vec::new();
    let mut unnamed: FastMap<Option<usize>, u32> = FastMap::default();
    let mut entries = unit.entries_raw(None)?;
    while !entries.is_empty() {
        let offset = entries.next_offset().0;
        let depth = entries.next_depth();
        let Some(abbreviation) = entries.read_abbreviation()? else {
            continue;
        };
        while around.last().is_some_and(|&(outer, _)| outer >= depth) {
            around.pop();
        }
        let tag = abbreviation.tag();
        let is_class = matches!(
            tag,
            gimli::DW_TAG_class_type
                | gimli::DW_TAG_structure_type
                | gimli::DW_TAG_union_type
                | gimli::DW_TAG_interface_type
        );
        let is_scope = is_class
            || matches!(
                tag,
                gimli::DW_TAG_namespace | gimli::DW_TAG_module | gimli::DW_TAG_subprogram
            );
        if is_scope {
            let parent = around.last().map(|&(_, offset)| offset);
            let mut is_named =
                |attribute: &gimli::AttributeSpecification| attribute.name() == gimli::DW_AT_name;
            let mut number = 0;
            if is_class && !abbreviation.attributes().iter().any(&mut is_named) {
                let count = unnamed.entry(parent).or_insert(0);
                *count += 1;
                number = *count;
            }
            let scope = Scope {
                parent,
                unnamed: number,
            };
            scopes.insert(offset, scope);
            if abbreviation.has_children() {
                around.push((depth, offset));
            }
        }
        entries.skip_attributes(abbreviation.attributes())?;
    }
    Ok(())
}
