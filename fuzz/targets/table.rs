//! Tables: Parquet, JSON and CSV, with and without a column, in several encodings.
#![no_main]

use libfuzzer_sys::fuzz_target;
use megabyte::data::container::Options;
use megabyte::modality::Modality;
use megabyte_fuzz::{folder, init, open, pick};

fuzz_target!(init: init(), |data: &[u8]| {
    let Some((&choice, bytes)) = data.split_first() else { return };
    let mut options = Options::new(pick(choice, [Modality::Text, Modality::Image, Modality::Audio]), folder());
    options.max_expansion = 4;
    options.column = pick(choice / 3, [None, Some("text"), Some("image"), Some("a.b"), Some("")]).map(str::to_owned);
    options.encoding = pick(choice / 15, ["", "latin1", "utf-16le", "shift_jis", "iso-2022-jp"]).to_owned();
    open(bytes, &options);
});
