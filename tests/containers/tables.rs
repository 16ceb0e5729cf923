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
            ["2 lines have no text `text`, the first is line 3", "2 lines are no JSON objects, the first is line 5"];
        assert_eq!(reasons, expected);
    }
    text.column = Some("meta.title".to_owned());
    assert_eq!(open(file, &text).records, named(&[("line 1", b"t")]));
}

/// What a table of text gives for the column `text`, with `data.encoding`.
fn column(file: &[u8], encoding: &str) -> crate::Opened {
    let mut text = options(Modality::Text);
    text.column = Some("text".to_owned());
    text.encoding = encoding.to_owned();
    open(file, &text)
}

fn texts(opened: crate::Opened) -> Vec<String> {
    opened.whole().into_iter().map(|(_, bytes)| String::from_utf8(bytes).unwrap()).collect()
}

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

/// The same three documents in every form that JSON has: what is before the first, between them, and how they are encoded.
#[test]
fn json_is_read_in_every_form() {
    let lines = "{\"text\": \"one\"}\n{\"text\": \"zwei ä\"}\n{\"text\": \"три\"}\n";
    let array = "[{\"text\": \"one\"}, {\"text\": \"zwei ä\", \"x\": [1, \"]}\"]},\n\n {\"text\":\"три\"}]\n";
    let spread = lines.replace(", ", ",\n").replace('{', "{\n  \"n\": NaN,\n  ").replace("}\n", "\n}\n\n");
    for text in [
        lines.to_owned(),
        lines.replace('\n', "\r\n"),
        lines.trim_end().to_owned(),
        format!("\n\n  \n{lines}\n\n"),
        format!("# made by hand\n// and by another\n\n{lines}"),
        lines.replace("{", "{\"a\": NaN, \"b\": [Infinity, -Infinity], "),
        array.to_owned(),
        array.replace(": ", " : ").replace("},", "}\n,"),
        format!("\n// an array\n{array}"),
        array.replace("{\"text\"", "{\"nan\": NaN, \"text\""),
        spread,
    ] {
        let expected = ["one", "zwei ä", "три"];
        assert_eq!(texts(column(text.as_bytes(), "")), expected, "{text}");
        assert_eq!(texts(column(format!("\u{feff}{text}").as_bytes(), "")), expected, "{text}");
        // A mark tells the encoding, whatever else was named.
        let marked = format!("\u{feff}{text}");
        for encoding in ["", "windows-1251", "utf-16le"] {
            assert_eq!(texts(column(&utf16(&marked, u16::to_le_bytes), encoding)), expected, "{text}");
            assert_eq!(texts(column(&utf16(&marked, u16::to_be_bytes), encoding)), expected, "{text}");
        }
        assert_eq!(texts(column(&utf16(&text, u16::to_le_bytes), "utf-16le")), expected, "{text}");
        // JSON in UTF-8 is that, also where files are said to be something else.
        assert_eq!(texts(column(text.as_bytes(), "latin1")), expected, "{text}");
        assert_eq!(texts(column(&gz(text.as_bytes()), "latin1")), expected, "{text}");
    }
    // Long enough for several blocks of what is read at once.
    let many: String = (0..20_000).map(|i| format!("{{\"text\": \"длинный {i}\"}}\n")).collect();
    for file in [many.clone().into_bytes(), utf16(&format!("\u{feff}{many}"), u16::to_le_bytes)] {
        assert_eq!(texts(column(&file, "")).last().unwrap(), "длинный 19999");
    }
}

#[test]
fn other_encodings_are_decoded_before_they_are_parsed() {
    let latin = b"{\"text\": \"caf\xe9\"}\n{\"text\": \"na\xefve \\u00e9\"}\n";
    assert_eq!(texts(column(latin, "latin1")), ["café", "naïve é"]);
    assert_eq!(texts(column(b"[{\"text\": \"caf\xe9\"}]", "iso-8859-15")), ["café"]);
    // The second byte of a character may look like a quote's escape.
    assert_eq!(texts(column(b"{\"text\": \"\x83\x5c\"}", "shift_jis")), ["ソ"]);
    assert_eq!(texts(column(b"{\"text\": \"\x1b$B$\"\x1b(B\"}", "iso-2022-jp")), ["あ"]);
    let told = column(latin, "");
    assert_eq!(told.records, []);
    assert!(told.skipped[0].1.starts_with("2 lines are not valid UTF-8"), "{told:?}");
    assert!(column(b"{\0\"\0t\0", "").broken().contains("UTF-16"));
    assert!(column(b"\xff\xfe\0\0{\0\0\0", "").broken().contains("UTF-32"));
    assert!(column(&utf16("{\"text\": \"\u{feff}", u16::to_le_bytes)[..9], "utf-16le").broken().contains("UTF-16LE"));
}

#[test]
fn lines_of_values_are_read_below_their_names() {
    for (delimiter, name) in [(",", "comma"), ("\t", "tab"), (";", "semicolon"), ("|", "bar")] {
        let file =
            "id,text,mark\n1,plain,a\r\n2,\"with \"\"quotes\"\", and\nlines\",b\n\n3,\u{e4},c".replace(',', delimiter);
        let expected = ["plain".to_owned(), format!("with \"quotes\"{delimiter} and\nlines"), "ä".to_owned()];
        assert_eq!(texts(column(file.as_bytes(), "")), expected, "{name}");
        assert_eq!(texts(column(&utf16(&format!("\u{feff}{file}"), u16::to_be_bytes), "")), expected, "{name}");
        assert_eq!(texts(column(format!("# a comment\n\n{file}").as_bytes(), "")), expected, "{name}");
    }
    for file in
        ["#id,text\n1,one\n2,two\n", "# of a tool\n\n# id,text\n1,one\n2,two", "#text\none\ntwo", "#a\ntext\none\ntwo"]
    {
        assert_eq!(texts(column(file.as_bytes(), "")), ["one", "two"], "{file}");
    }
    assert_eq!(column(b"#id,text\n1,one\n", "").records, named(&[("line 2", b"one")]));
    assert_eq!(texts(column(b"text,n\ncaf\xe9,1\n", "latin1")), ["café"]);
    assert_eq!(texts(column("\u{feff} text ,n\né,1\n".as_bytes(), "")), ["é"]);
    let told = column(b"id,text\n1,one\n2\n3,,x\n4,\n5,\xff\n6,last", "");
    assert_eq!(told.end, Expanded::Done);
    assert_eq!(told.records, named(&[("line 2", b"one"), ("line 7", b"last")]));
    let reasons: Vec<_> = told.skipped.iter().map(|(_, reason)| reason.as_str()).collect();
    let expected = [
        "2 lines have not the 2 values of the first, the first is line 3",
        "1 lines have no text `text`, the first is line 5",
        "1 lines are not valid UTF-8 (`data.encoding` can name another encoding), the first is line 6",
    ];
    assert_eq!(reasons, expected);
    let unclosed = column(b"text\none\n\"two\nthree\nfour\n", "");
    assert_eq!(unclosed.records, named(&[("line 2", b"one")]));
    assert!(unclosed.skipped[0].1.contains("inside of a quoted value"), "{unclosed:?}");
}

/// Once a column is asked for, nothing is taken for a text as a whole.
#[test]
fn what_has_no_column_is_not_a_text() {
    for (file, reason) in [
        (&b"just some prose\nof two lines\n"[..], "has no column `text`"),
        (b"id,body\n1,one\n", "its first line has id, body"),
        (b"text,text\n1,one\n", "several columns"),
        (b"\x89PNG\r\n\x1a\n rest", "looks like a PNG image"),
        (b"\0\x01\x02\x03", "NUL"),
        (b"[{\"text\": \"a\"}, {\"text\"", "inside of row 1"),
        (b"[{\"text\": \"a\"}] and more", "behind its array"),
        (b"[{\"text\": \"a\"}", "inside of its array"),
    ] {
        let told = column(file, "");
        assert!(told.broken().contains(reason), "{file:?}: {told:?}");
    }
    let told = column(b"[1, {\"text\": \"a\"}, [2], {\"text\": 3}]", "");
    assert_eq!(told.records, named(&[("row 1", b"a")]));
    let reasons: Vec<_> = told.skipped.iter().map(|(_, reason)| reason.as_str()).collect();
    assert_eq!(
        reasons,
        ["2 rows are no JSON objects, the first is row 0", "1 rows have no text `text`, the first is row 3"]
    );
    // In an archive the others go on.
    let members: [(&str, &[u8]); 2] = [("a.txt", b"prose"), ("b.csv", b"text\nrow\n")];
    let told = column(&tar(&members), "");
    assert_eq!(told.records, named(&[("b.csv/line 2", b"row")]));
    assert!(told.skipped[0].0 == "a.txt" && told.skipped[0].1.contains("has no column"), "{told:?}");
}
