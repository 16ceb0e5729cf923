use std::sync::Arc;

use megabyte::data::container::Expanded;
use megabyte::modality::Modality;
use parquet::basic::{Compression, Encoding, GzipLevel, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::{gz, named, open, options, png, tar};

/// A value of each row, in each column of strings or bytes.
type Column<'a> = &'a [Option<&'a [u8]>];

/// A table; every row group holds `together` rows.
pub fn parquet(schema: &str, columns: &[Column<'_>], together: usize, properties: WriterProperties) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).unwrap();
    for start in (0..columns[0].len()).step_by(together) {
        let mut group = writer.next_row_group().unwrap();
        let mut rest = columns.iter();
        while let Some(mut column) = group.next_column().unwrap() {
            let rows = rest.next().unwrap();
            let rows = &rows[start..(start + together).min(rows.len())];
            let levels: Vec<i16> = rows.iter().map(|row| i16::from(row.is_some())).collect();
            let values: Vec<ByteArray> = rows.iter().flatten().map(|row| row.to_vec().into()).collect();
            column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

const TEXT: &str = "message schema { optional binary text (UTF8); }";
const TWO: &str = "message schema { optional binary text (UTF8); optional binary other (UTF8); }";
const IMAGE: &str = "message schema { required group image { optional binary bytes; optional binary path (UTF8); } }";

fn some<'a>(rows: &'a [&'a str]) -> Vec<Option<&'a [u8]>> {
    rows.iter().map(|row| Some(row.as_bytes())).collect()
}

#[test]
fn rows_of_a_column_in_every_encoding() {
    let rows: Vec<String> = (0..300).map(|row| format!("{}{}", "the same ".repeat(row % 7), row / 3)).collect();
    let rows: Vec<Option<&[u8]>> =
        rows.iter().enumerate().map(|(row, text)| (row % 10 != 3).then_some(text.as_bytes())).collect();
    let expected: Vec<(String, Vec<u8>)> = rows
        .iter()
        .enumerate()
        .filter_map(|(row, text)| text.map(|text| (format!("row {row}"), text.to_vec())))
        .collect();
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4_RAW,
    ];
    let encodings =
        [None, Some(Encoding::PLAIN), Some(Encoding::DELTA_LENGTH_BYTE_ARRAY), Some(Encoding::DELTA_BYTE_ARRAY)];
    for codec in codecs {
        for encoding in encodings {
            for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
                let mut properties = WriterProperties::builder()
                    .set_compression(codec)
                    .set_writer_version(version)
                    .set_dictionary_enabled(encoding.is_none())
                    .set_write_batch_size(16)
                    .set_data_page_row_count_limit(32);
                if let Some(encoding) = encoding {
                    properties = properties.set_encoding(encoding);
                }
                let file = parquet(TEXT, &[&rows], 120, properties.build());
                let found = open(&file, &options(Modality::Text));
                assert_eq!(found.end, Expanded::Done, "{codec} {encoding:?} {version:?}");
                assert!(found.records == expected, "{codec} {encoding:?} {version:?}");
                assert_eq!(found.skipped, [(String::new(), "30 rows have no `text`".to_owned())]);
            }
        }
    }
}

#[test]
fn a_table_is_read_inside_of_others() {
    let file = parquet(TEXT, &[&some(&["a", "b"])], 9, WriterProperties::default());
    let found = open(&gz(&tar(&[("x.parquet", &file)])), &options(Modality::Text)).whole();
    assert_eq!(found, named(&[("x.parquet/row 0", b"a"), ("x.parquet/row 1", b"b")]));
}

#[test]
fn the_column_has_to_be_clear() {
    let (one, two) = (some(&["a"]), some(&["b"]));
    let file = parquet(TWO, &[&one, &two], 9, WriterProperties::default());
    let mut text = options(Modality::Text);
    let found = open(&file, &text);
    assert!(found.broken().ends_with("data.column chooses from text, other"), "{found:?}");
    text.column = Some("other".to_owned());
    assert_eq!(open(&file, &text).whole(), named(&[("row 0", b"b")]));
    text.column = Some("content".to_owned());
    let found = open(&file, &text);
    assert!(found.broken().contains("without a column `content`") && found.broken().ends_with("text, other"));
    // Strings are no pictures.
    assert!(open(&file, &options(Modality::Image)).broken().contains("without a column of bytes"));
}

#[test]
fn pictures_are_the_bytes_of_a_group() {
    let (one, two) = (png(b"1"), png(b"2"));
    let pictures: [Option<&[u8]>; 3] = [Some(&one), None, Some(&two)];
    let paths = some(&["1.png", "2.png", "3.png"]);
    let file = parquet(IMAGE, &[&pictures, &paths], 2, WriterProperties::default());
    for column in [None, Some("image"), Some("image.bytes")] {
        let mut image = options(Modality::Image);
        image.column = column.map(str::to_owned);
        let found = open(&file, &image);
        assert_eq!(found.records, named(&[("row 0", &one), ("row 2", &two)]));
        assert_eq!(found.skipped, [(String::new(), "1 rows have no `image.bytes`".to_owned())]);
    }
}

#[test]
fn lines_of_json_are_documents() {
    let file = b"{\"text\": \"one\", \"meta\": {\"title\": \"t\"}}\r\n\n{\"text\": null}\n{\"text\": \"two\"}\nnonsense\n{}\n[1]\n{\"text\": \"last\"}";
    let mut text = options(Modality::Text);
    assert_eq!(open(file, &text).end, Expanded::NotAContainer);
    text.column = Some("text".to_owned());
    for file in [file.to_vec(), gz(file)] {
        let found = open(&file, &text);
        assert_eq!(found.end, Expanded::Done);
        assert_eq!(found.records, named(&[("line 1", b"one"), ("line 4", b"two"), ("line 8", b"last")]));
        let reasons: Vec<_> = found.skipped.iter().map(|(_, reason)| reason.as_str()).collect();
        let expected =
            ["2 lines are no JSON objects, the first is line 5", "2 lines have no text `text`, the first is line 3"];
        assert_eq!(reasons, expected);
    }
    text.column = Some("meta.title".to_owned());
    assert_eq!(open(file, &text).records, named(&[("line 1", b"t")]));
}
