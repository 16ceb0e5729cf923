//! Files that hold many documents or pictures: what was put in is what is found, and hostile ones do no harm.
#![allow(clippy::unwrap_used)]

mod archives;
mod arrays;
mod bombs;
mod compressed;
mod damage;
mod tables;

use std::io::{Read, Write};

use megabyte::data::container::{Content, Expanded, Found, Options, expand};
use megabyte::modality::Modality;

/// Options with the defaults for a modality.
pub fn options(modality: Modality) -> Options {
    Options {
        modality,
        column: None,
        encoding: String::new(),
        include: None,
        exclude: None,
        sheet: None,
        max_expansion: 1000,
        spool: std::env::temp_dir(),
    }
}

/// What was found in a file.
#[derive(Debug)]
pub struct Opened {
    /// Names and contents.
    pub records: Vec<(String, Vec<u8>)>,
    /// Names and reasons.
    pub skipped: Vec<(String, String)>,
    /// Names, and what there is to know of what was used.
    pub warned: Vec<(String, String)>,
    /// How it ended.
    pub end: Expanded,
}

impl Opened {
    /// The records of a file that could be read to its end, where nothing was skipped.
    #[track_caller]
    pub fn whole(self) -> Vec<(String, Vec<u8>)> {
        assert_eq!(self.end, Expanded::Done);
        assert_eq!(self.skipped, []);
        assert_eq!(self.warned, []);
        self.records
    }

    /// Why the rest can't be read.
    #[track_caller]
    pub fn broken(&self) -> &str {
        match &self.end {
            Expanded::Broken(reason) => reason,
            end => panic!("{end:?}"),
        }
    }
}

/// Opens a file with this content.
pub fn open(bytes: &[u8], options: &Options) -> Opened {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    let (mut records, mut skipped, mut warned) = (Vec::new(), Vec::new(), Vec::new());
    let end = expand(&mut file, "file", options, &mut |found| {
        match found {
            Found::Record(record) => records.push((record.name, bytes_of(record.content))),
            Found::Skipped { name, reason } => skipped.push((name, reason)),
            Found::Warning { name, reason } => warned.push((name, reason)),
        }
        Ok(())
    });
    Opened { records, skipped, warned, end: end.unwrap() }
}

/// The content of a record, from where its reader would begin.
pub fn bytes_of(content: Content) -> Vec<u8> {
    match content {
        Content::Memory(bytes) => bytes,
        Content::File(mut file) => {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            assert!(bytes.len() > 16 << 20, "{} bytes need no file", bytes.len());
            bytes
        }
    }
}

/// Names and contents as they are compared.
pub fn named(records: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
    records.iter().map(|&(name, bytes)| (name.to_owned(), bytes.to_vec())).collect()
}

/// A tar archive.
pub fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A zip archive, deflated or stored.
pub fn zip(members: &[(&str, &[u8])], method: zip::CompressionMethod) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    for (name, content) in members {
        writer.start_file(*name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A gzip file.
pub fn gz(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// A picture that is one by its first bytes.
pub fn png(rest: &[u8]) -> Vec<u8> {
    [b"\x89PNG\r\n\x1a\n", rest].concat()
}
