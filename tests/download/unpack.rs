//! Archives, honest and hostile.

use std::fs;
use std::io::{Read, Write};

use megabyte::data::download::download;
use megabyte::progress::Quiet;

use super::server::{Manner, Server};
use super::{card, content, manifest, sha256};

/// A gzip-compressed tar archive. Names are written as they are, hostile ones too.
fn tar_gz(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

fn gz(content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::GzEncoder::new(content, flate2::Compression::fast()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// Downloads an archive that a server has, and says what came of it.
fn unpack(archive: Vec<u8>, expected: &[(&str, &[u8])], folder: bool, how: &str) -> Result<tempfile::TempDir, String> {
    let server = Server::start(archive, Manner::Ranges);
    let bytes = expected.iter().map(|(_, content)| content.len() as u64).sum();
    let digest = if folder { manifest(expected) } else { sha256(expected[0].1) };
    let entry = format!("[[download]]\nurl = \"{}\"\nfile = \"archive.gz\"\n{how}", server.url());
    let out = tempfile::tempdir().unwrap();
    match download(&card(bytes, &digest, folder, &entry), out.path(), &Quiet) {
        Ok(_) => Ok(out),
        Err(error) => {
            assert!(!out.path().join("data").exists());
            Err(error.to_string())
        }
    }
}

#[test]
fn takes_only_the_wanted_files_and_drops_the_fixed_folders() {
    let files: [(&str, &[u8]); 4] =
        [("p/a/one.txt", b"one"), ("p/a/b/two.txt", b"second"), ("p/a/other.bin", b"no"), ("q/one.txt", b"no")];
    let how = "unpack = [\"tar.gz\"]\nmember = \"p/a/**/*.txt\"";
    let out = unpack(tar_gz(&files), &[("one.txt", b"one"), ("b/two.txt", b"second")], true, how).unwrap();
    assert_eq!(fs::read(out.path().join("data/one.txt")).unwrap(), b"one");
    assert_eq!(fs::read(out.path().join("data/b/two.txt")).unwrap(), b"second");
    assert_eq!(fs::read_dir(out.path().join("data")).unwrap().count(), 2);
}

#[test]
fn opens_gzip_inside_tar_and_alone() {
    let inner = gz(b"content");
    let how = "unpack = [\"tar.gz\", \"gz\"]\nmember = \"p/data.gz\"";
    let out = unpack(tar_gz(&[("p/data.gz", &inner)]), &[("data", b"content")], false, how).unwrap();
    assert_eq!(fs::read(out.path().join("data")).unwrap(), b"content");
    let out = unpack(gz(b"content"), &[("archive", b"content")], true, "unpack = [\"gz\"]").unwrap();
    assert_eq!(fs::read(out.path().join("data/archive")).unwrap(), b"content");
}

#[test]
fn opens_zip() {
    let text: Vec<u8> = b"the same again and ".repeat(50);
    let (stored, deflated) = (zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated);
    let archive = zip(&[("p/stored", stored, b"as it is"), ("p/deflated", deflated, &text), ("p/", stored, b"")]);
    let how = "unpack = [\"zip\"]\nmember = \"p/*\"";
    let out = unpack(archive.clone(), &[("stored", b"as it is"), ("deflated", &text)], true, how).unwrap();
    assert_eq!(fs::read(out.path().join("data/deflated")).unwrap(), text);

    let message = unpack(archive[..archive.len() - 30].to_vec(), &[("stored", b"as it is")], true, how).unwrap_err();
    assert!(message.contains("not a zip archive"), "{message}");
}

/// A zip archive of name, method and content; a name that ends with `/` is a folder.
fn zip(files: &[(&str, zip::CompressionMethod, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, method, content) in files {
        let options = zip::write::SimpleFileOptions::default().compression_method(*method);
        writer.start_file(*name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn refuses_names_that_lead_out_of_the_folder() {
    let how = "unpack = [\"tar.gz\"]\nmember = \"**/*.txt\"";
    for name in ["../evil.txt", "p/../../evil.txt", "/evil.txt"] {
        let message = unpack(tar_gz(&[(name, b"evil")]), &[("evil.txt", b"evil")], true, how).unwrap_err();
        assert!(message.contains("leads out of the folder"), "{name}: {message}");
    }
}

#[test]
fn refuses_links() {
    let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, "a.txt", "/etc/hostname").unwrap();
    let archive = builder.into_inner().unwrap().finish().unwrap();
    let how = "unpack = [\"tar.gz\"]\nmember = \"*.txt\"";
    let message = unpack(archive, &[("a.txt", b"")], true, how).unwrap_err();
    assert!(message.contains("link"), "{message}");
}

#[test]
fn refuses_more_than_the_card_states() {
    let how = "unpack = [\"gz\"]";
    let bomb = gz(&vec![0; 10_000_000]);
    let message = unpack(bomb, &[("archive", b"small")], true, how).unwrap_err();
    assert!(message.contains("more than the 5 bytes"), "{message}");
}

#[test]
fn a_damaged_archive_and_one_without_the_member_are_errors() {
    let how = "unpack = [\"tar.gz\"]\nmember = \"*.txt\"";
    let whole = tar_gz(&[("a.txt", &content(100_000))]);
    let message = unpack(whole[..whole.len() / 2].to_vec(), &[("a.txt", &content(100_000))], true, how).unwrap_err();
    assert!(message.contains("damaged or cut off"), "{message}");
    let message = unpack(tar_gz(&[("b.bin", b"b")]), &[("a.txt", b"")], true, how).unwrap_err();
    assert!(message.contains("nothing that matches *.txt"), "{message}");
}
