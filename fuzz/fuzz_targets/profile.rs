//! Any bytes as a profile: the file as a whole, and what is packed in it.
//!
//! Whatever passes the checks must be safe to walk.

#![no_main]

use libfuzzer_sys::fuzz_target;
use skipheap_profile::Profile;
use skipheap_profile::file::{MAGIC, read_from, write};

fuzz_target!(|data: &[u8]| {
    let mut file = MAGIC.to_vec();
    file.extend_from_slice(data);
    for bytes in [data, &file] {
        if let Ok(profile) = read_from(bytes, bytes.len() as u64) {
            walk(&profile);
        }
    }
    // Without the packing and its checksum, so that the fuzzer reaches the tables.
    if let Ok((profile, _)) = postcard::take_from_bytes::<Profile>(data)
        && profile.check().is_ok()
    {
        walk(&profile);
        let mut packed = Vec::new();
        write(&profile, &mut packed).expect("memory takes everything");
        let read = read_from(&packed[..], packed.len() as u64).expect("what was written");
        assert_eq!(read.sites.len(), profile.sites.len());
    }
});

fn walk(profile: &Profile) {
    for site in &profile.sites {
        let _ = (profile.call_site(site.node), site.bytes());
        for (_, node) in profile.stack(site.node) {
            let function = profile.function(profile.frame(node));
            let _ = profile.text(function.name);
        }
    }
    let _ = profile.estimated();
}
