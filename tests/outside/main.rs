//! Tests that need what not every machine has: the shared development data, leave to mount a file system, a user who
//! is not root. What a machine lacks makes a test ignored, with the reason, and never passed; so they have a harness of
//! their own, in which a test says so while it runs.
#![allow(clippy::unwrap_used)]

mod archives;
#[path = "../common/mod.rs"]
mod common;
mod disk;
mod files;
#[path = "../cli/fixture.rs"]
#[allow(dead_code)] // the fixtures of the tests in cli/
mod fixture;
mod memory;
mod pictures;
mod prepare;
#[path = "../cli/program.rs"]
#[allow(dead_code)]
mod program;
mod public;
mod sounds;

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use libtest_mimic::{Arguments, Completion, Trial};

use program::{Outcome, command, run};

/// What the machine lacks.
struct Lack(String);

/// A test that ran, or what it lacks.
type Done = Result<(), Lack>;

fn lacks<T>(what: &str) -> Result<T, Lack> {
    Err(Lack(format!("needs {what}")))
}

/// A file or folder of the shared development data: `$MEGABYTE_SHARED`, else `shared` beside the repository.
fn shared(path: impl AsRef<Path>) -> Result<PathBuf, Lack> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let folder = std::env::var_os("MEGABYTE_SHARED").map_or_else(beside, PathBuf::from);
    let path = folder.join(path);
    if path.exists() { Ok(path) } else { lacks(&format!("{}, MEGABYTE_SHARED names the folder", path.display())) }
}

/// Files below shared folders, in the order of their names.
fn files(folders: &[&str]) -> Result<Vec<PathBuf>, Lack> {
    let mut found = Vec::new();
    for folder in folders {
        let walk = walkdir::WalkDir::new(shared(folder)?).sort_by_file_name().into_iter();
        let entries = walk.map(|entry| entry.unwrap()).filter(|entry| entry.file_type().is_file());
        found.extend(entries.map(|entry| entry.into_path()));
    }
    Ok(found)
}

/// Tests that look at the memory of the whole process run alone.
static ALONE: RwLock<()> = RwLock::new(());

fn trial(name: &str, alone: bool, test: fn() -> Done) -> Trial {
    Trial::ignorable_test(name, move || {
        let ended = if alone {
            let _alone = ALONE.write().unwrap_or_else(PoisonError::into_inner);
            test()
        } else {
            let _beside = ALONE.read().unwrap_or_else(PoisonError::into_inner);
            test()
        };
        Ok(ended.map_or_else(|Lack(reason)| Completion::ignored_with(reason), |()| Completion::Completed))
    })
}

macro_rules! trials {
    ($alone:literal, $prefix:literal, $($test:path),+ $(,)?) => {
        [$(trial(concat!($prefix, stringify!($test)), $alone, $test)),+]
    };
}

fn main() {
    let alone = trials![
        true,
        "",
        prepare::every_broken_file_is_prepared_or_listed_quickly_and_in_little_memory,
        memory::the_peak_is_what_was_used_since_it_was_reset,
        memory::a_trial_has_the_averages_and_holds_the_levels_that_the_run_does,
        memory::saving_takes_one_copy_of_the_weights,
    ];
    let beside = trials![
        false,
        "",
        prepare::files_that_can_not_be_opened,
        disk::slow::a_full_disk_costs_no_earlier_checkpoint,
        files::real_encodings_of_one_clip_agree,
        files::flac_and_wav_of_one_clip_give_identical_bytes,
        files::real_files_encode_and_come_back,
        files::photos_are_reduced_like_another_program_reduces_them,
        files::odd_but_valid_pictures_agree_with_another_program,
        files::mutilated_files_are_quick_errors_or_bytes,
        files::sounds_that_are_not_read_are_named,
        files::descriptions_of_sounds_agree_with_their_samples,
        files::broken_and_odd_files_are_quick_errors_or_bytes,
        archives::texts_come_back,
        archives::pictures_come_back,
        public::mnist,
        public::archives_of_tiles,
        public::texts,
        public::enwik8_is_a_file,
    ];
    // Hundreds of files, each beside another program.
    let matrices = trials![
        false,
        "slow::",
        pictures::all_kinds_agree_with_pillow,
        sounds::plain_samples_in_every_header,
        sounds::lossless_codecs_in_every_container,
        sounds::adpcm_in_whole_numbers,
        sounds::mpeg_audio_in_every_container,
        sounds::aac_in_every_container,
        sounds::vorbis_in_every_container,
        sounds::libsndfile_and_libflac_agree,
        sounds::damaged_recordings_are_as_long_as_elsewhere,
    ];
    libtest_mimic::run(&Arguments::from_args(), alone.into_iter().chain(beside).chain(matrices).collect()).exit();
}
