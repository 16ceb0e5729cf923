//! Archives and compressed files, told by content: everything in them is visited, or they are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use megabyte::data::container::Options;
use megabyte::modality::Modality;
use megabyte_fuzz::{folder, init, open, pick};

fuzz_target!(init: init(), |data: &[u8]| {
    let Some((&choice, bytes)) = data.split_first() else { return };
    let mut options = Options::new(pick(choice, [Modality::Text, Modality::Image, Modality::Audio]), folder());
    options.max_expansion = 4;
    let glob = |pattern: &str| globset::GlobSet::new([globset::Glob::new(pattern).expect("it is a pattern")]).ok();
    match choice / 3 % 4 {
        1 => options.include = glob("**/*.txt"),
        2 => options.exclude = glob("a*/**"),
        3 => options.column = Some("text".to_owned()),
        _ => {}
    }
    open(bytes, &options);
});
