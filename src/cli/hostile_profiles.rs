//! Whatever a file claims, no export panics: profiles come from elsewhere.

use crate::from_profile::{self, Source};
use crate::shape::{Columns, Kind};
use proptest::prelude::*;
use skipheap_export::{Format, write};
use skipheap_profile::report::collapsed::{Style, Value};
use skipheap_profile::testing::small;
use skipheap_profile::{Profile, file};
use std::io;

/// The profile with some bytes of its encoding changed, when that is still one.
fn mutated(changes: &[(usize, u8)]) -> Option<Profile> {
    let mut bytes = postcard::to_stdvec(&small()).expect("encoded");
    for &(at, value) in changes {
        let at = at % bytes.len();
        bytes[at] = value;
    }
    let profile: Profile = postcard::from_bytes(&bytes).ok()?;
    profile.check().ok().map(|()| profile)
}

/// Most changes give something that is no profile, or no other one; these are those that are taken.
fn any_profile() -> impl Strategy<Value = Profile> {
    let value = prop_oneof![Just(0xff_u8), Just(0x7f), Just(0), any::<u8>()];
    let changes = prop::collection::vec((any::<usize>(), value), 1..4);
    changes.prop_filter_map("no profile", |changes| mutated(&changes))
}

proptest! {
    #[test]
    fn no_format_panics(profile in any_profile()) {
        for format in Format::ALL {
            for value in [Value::Bytes, Value::Peak] {
                let style = Style { value, ..Style::default() };
                // An error is an answer.
                let _ = write(&profile, format, style, &mut io::sink());
            }
        }
    }

    #[test]
    fn no_report_panics(profile in any_profile()) {
        let path = tempfile::NamedTempFile::new().expect("a file");
        let mut out = std::fs::File::create(path.path()).expect("a file");
        file::write(&profile, &mut out).expect("written");
        for kind in [
            Kind::Csv(Columns::Seed),
            Kind::Csv(Columns::All),
            Kind::Collapsed(Style::default()),
        ] {
            let wish = crate::side::wish_of(kind);
            let mut harvest = crate::harvest::Harvest::default();
            let profile = from_profile::read(path.path(), &wish, None).expect("read");
            let read = from_profile::take(profile, Source::File, &wish, &mut harvest);
            read.write(kind, &mut io::sink()).expect("written");
            let said = crate::summary::text(&harvest, 80, None);
            prop_assert!(!said.is_empty());
        }
    }
}
