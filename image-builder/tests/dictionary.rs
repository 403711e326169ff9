//! `--chunk-dict`: what another image has is named there and not stored again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::path::Path;
use std::sync::Arc;

use image_builder::convert::{ConvertError, Dictionary, Format, Options, Progress, convert};
use image_builder::oci::{Manifest, annotation};
use image_builder::opened::choose::{Want, choose};
use image_builder::opened::store::{Reach, open as open_chunked};
use image_builder::place::Place;
use rafs::ChunkSize;

use support::files::{Tar, text};
use support::{client, expected, gzip, layout, listed, open, scratch};

fn place(path: &Path) -> Place {
    format!("oci:{}:v1", path.display()).parse().unwrap()
}

fn dictionary(of: &Place, format: Format) -> Result<Dictionary, ConvertError> {
    let store = client().open(of).unwrap();
    let document = choose(&store, Want::Chunked, None).unwrap();
    Dictionary::new(&open_chunked(store, document, Reach::Parts).unwrap(), format)
}

/// Converts an image of these layers, and gives its manifest.
fn converted(path: &Path, name: &str, layers: &[Vec<u8>], options: &Options) -> (Place, Manifest) {
    let source = path.join(format!("{name}-in"));
    layout(&source, layers);
    let target = place(&path.join(name));
    let (from, to) = (client().open(&place(&source)).unwrap(), client().create(&target).unwrap());
    convert(&*from, &*to, options, &Progress::default()).unwrap();
    let top = client().open(&target).unwrap().top().unwrap();
    (target, top.manifest().unwrap().clone())
}

/// Two layers of which a later version changes one file and brings one.
fn versions() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let base = || Tar::new().file("big", &text(1, 5_000_000)).file("small", &text(2, 9_000));
    let first =
        vec![gzip(&base().done()), gzip(&Tar::new().file("app", &text(3, 2_500_000)).done())];
    let app = Tar::new().file("app", &text(4, 2_500_000)).file("new", &text(5, 70_000));
    // The same file once more, in another layer.
    let app = app.file("again", &text(1, 5_000_000));
    (first, vec![gzip(&base().file("more", b"more").done()), gzip(&app.done())])
}

#[test]
fn only_what_the_dictionary_has_not_is_stored() {
    let (_folder, path) = scratch();
    let (first, second) = versions();
    let (v1, lent) = converted(&path, "first", &first, &Options::default());
    let dictionary = dictionary(&v1, Format::default()).unwrap();
    let options = Options { dictionary: Some(Arc::new(dictionary)), ..Options::default() };
    let (v2, manifest) = converted(&path, "second", &second, &options);
    let is_lent = |digest| lent.layers.iter().any(|layer| layer.digest == digest);
    let data = || manifest.layers.iter().filter(|layer| layer.is_data_blob());
    let new: u64 = data().filter(|layer| !is_lent(layer.digest)).map(|layer| layer.size).sum();
    assert_eq!(data().filter(|layer| is_lent(layer.digest)).count(), 1, "of what is used only");
    // Such text shrinks to a quarter: what was changed, and nothing of what was not.
    assert!((500_000..900_000).contains(&new), "{new} bytes");
    let said = &manifest.layers.last().unwrap().annotations[annotation::NYDUS_REFERENCE_BLOBS];
    assert!(said.contains(&lent.layers[0].digest.to_hex()), "{said}");
    let (store, plain) = (client().open(&v2).unwrap(), Options::default());
    let opened = open(&*store, &manifest);
    assert_eq!(listed(&opened.files), listed(&expected(&second)));
    // The tree is what it is without a dictionary, and so is its root.
    let (_, alone) = converted(&path, "alone", &second, &plain);
    let root = |manifest: &Manifest| manifest.annotations[annotation::MERKLE_ROOT].clone();
    assert_eq!(root(&alone), root(&manifest));
}

#[test]
fn the_same_image_again_needs_no_data() {
    let (_folder, path) = scratch();
    let (first, _) = versions();
    let (v1, lent) = converted(&path, "first", &first, &Options::default());
    let dictionary = Arc::new(dictionary(&v1, Format::default()).unwrap());
    let options = Options { dictionary: Some(dictionary), ..Options::default() };
    let (_, manifest) = converted(&path, "second", &first, &options);
    let data = |manifest: &Manifest| -> Vec<_> {
        let layers = manifest.layers.iter().filter(|layer| layer.is_data_blob());
        layers.map(|layer| layer.digest).collect()
    };
    assert_eq!(data(&manifest), data(&lent));
}

#[test]
fn a_dictionary_of_another_format_is_refused_and_the_option_named() {
    let (_folder, path) = scratch();
    let (first, _) = versions();
    let (v1, _) = converted(&path, "first", &first, &Options::default());
    let other = Format { chunk_size: ChunkSize::new(4096).unwrap(), ..Format::default() };
    let error = dictionary(&v1, other).unwrap_err().to_string();
    assert!(error.contains("--chunk-size 1048576") && error.contains("4096"), "{error}");
}
