//! Class folders of images: `train/CLASS/FILE` and `test/CLASS/FILE` (or `val/`). The class is the folder directly
//! below the split's; classes are numbered in the order of their names, images ordered by class and file name, so
//! the order of an archive or a file system changes nothing.
//!
//! Images are decoded in batches on several threads. They must be of one size, unless a size to resize to is given:
//! then the short side is resized (triangle filter with antialiasing) and the centre square cropped.
//!
//! JPEG decoders may differ by a step of 1/255 in a pixel, by version and by instruction set; the digest is of the
//! pixels, so it identifies what was imported here, not the archive. The binary formats and PNG have no such freedom.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Cursor,
    num::NonZero,
    panic::{AssertUnwindSafe, catch_unwind},
};

use image::{DynamicImage, GenericImageView, ImageReader, imageops::FilterType};

use crate::{
    Colour, DataError, ImageSet, ImportOptions, Split,
    import::{Found, Part},
    source::ItemPath,
};

const BATCH_FILES: usize = 512;
const BATCH_BYTES: usize = 64 << 20;

/// Collects images until [`Collector::finish`].
pub(crate) struct Collector<'a> {
    options: &'a ImportOptions,
    pending: Vec<Found>,
    pending_bytes: usize,
    decoded: Vec<Decoded>,
    decoded_bytes: u64,
    folders: BTreeMap<(Part, String), String>,
}

struct Decoded {
    part: Part,
    class: String,
    path: ItemPath,
    height: usize,
    width: usize,
    /// Planar.
    pixels: Vec<u8>,
}

/// The split a folder's name stands for, and whether it is `val` rather than `test`.
fn part_of_folder(name: &str) -> Option<Part> {
    match name.to_ascii_lowercase().as_str() {
        "train" | "training" => Some(Part::Train),
        "test" | "testing" | "val" | "valid" | "validation" => Some(Part::Test),
        _ => None,
    }
}

/// The split and the names below its folder. With a split given by an option, everything is below it.
fn below_split(path: &ItemPath, given: Option<Part>) -> Option<(Part, Vec<&str>)> {
    let parts: Vec<&str> = path.relative.split('/').filter(|part| !part.is_empty()).collect();
    let position = parts.iter().position(|part| part_of_folder(part).is_some());
    match (given, position) {
        // A split's folder inside the path that was given for the split.
        (Some(part), Some(position)) if parts.len() >= position + 3 => {
            Some((part, parts.get(position + 1..).unwrap_or_default().to_vec()))
        }
        (Some(part), _) => Some((part, parts)),
        (None, Some(position)) => {
            let part = parts.get(position).and_then(|name| part_of_folder(name))?;
            Some((part, parts.get(position + 1..).unwrap_or_default().to_vec()))
        }
        (None, None) => None,
    }
}

impl<'a> Collector<'a> {
    pub fn new(options: &'a ImportOptions) -> Self {
        Self {
            options,
            pending: Vec::new(),
            pending_bytes: 0,
            decoded: Vec::new(),
            decoded_bytes: 0,
            folders: BTreeMap::new(),
        }
    }

    /// A folder was met: if it is a class's, it must turn out to have images.
    pub fn folder(&mut self, path: &ItemPath, given: Option<Part>) {
        if let Some((part, below)) = below_split(path, given)
            && let [class] = below.as_slice()
        {
            self.folders.insert((part, (*class).to_owned()), path.shown.clone());
        }
    }

    /// An image was met.
    pub fn file(&mut self, found: Found) -> Result<(), DataError> {
        self.pending_bytes += found.bytes.len();
        self.pending.push(found);
        if self.pending.len() >= BATCH_FILES || self.pending_bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), DataError> {
        let pending = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let n_threads = self.options.threads.unwrap_or(cores).clamp(1, 256);
        let options = self.options;
        let decode_all = |part: &[Found]| part.iter().map(|found| decode(found, options)).collect::<Vec<_>>();
        let results: Vec<Result<Decoded, DataError>> = std::thread::scope(|scope| {
            let parts = pending.chunks(pending.len().div_ceil(n_threads).max(1));
            let threads: Vec<_> = parts.map(|part| scope.spawn(move || decode_all(part))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
        });
        for result in results {
            let image = result?;
            self.decoded_bytes += image.pixels.len() as u64;
            let limit = self.options.limits.set_bytes;
            if self.decoded_bytes > limit {
                return Err(DataError::TooLarge { file: image.path.shown, what: "pixels", limit, option: "set_bytes" });
            }
            self.decoded.push(image);
        }
        Ok(())
    }

    /// All images, sorted into a data set.
    pub fn finish(mut self) -> Result<ImageSet, DataError> {
        self.flush()?;
        let mut images = self.decoded;
        images.sort_by(|a, b| (a.part, &a.class, &a.path.relative).cmp(&(b.part, &b.class, &b.path.relative)));
        let filled: BTreeSet<(Part, &str)> = images.iter().map(|image| (image.part, image.class.as_str())).collect();
        if let Some((_, folder)) = self.folders.iter().find(|((part, class), _)| !filled.contains(&(*part, class))) {
            return Err(DataError::EmptyClass { folder: folder.clone() });
        }
        let trained = images.iter().filter(|image| image.part == Part::Train).map(|image| image.class.clone());
        let classes: Vec<String> = trained.collect::<BTreeSet<_>>().into_iter().collect();
        if u16::try_from(classes.len()).is_err() {
            let reason = format!("{} class folders; a data set has at most {}", classes.len(), u16::MAX);
            return Err(DataError::BadOption { option: "source", reason });
        }
        let (height, width) = images.first().map_or((0, 0), |image| (image.height, image.width));
        let plane = height * width;
        let channels = images.iter().map(|image| image.pixels.len().checked_div(plane).unwrap_or(1)).max().unwrap_or(1);
        if let (Some(first), Some(other)) =
            (images.first(), images.iter().find(|image| (image.height, image.width) != (height, width)))
        {
            return Err(DataError::SizeDiffers {
                file: other.path.shown.clone(),
                found: format!("{}x{}", other.width, other.height),
                first_file: first.path.shown.clone(),
                first: format!("{width}x{height}"),
            });
        }
        let mut splits = [Split::default(), Split::default()];
        for image in images {
            let Ok(label) = classes.binary_search(&image.class) else {
                return Err(DataError::UntrainedClass {
                    file: image.path.shown,
                    class: crate::source::printable(&image.class),
                });
            };
            if let Some(split) = splits.get_mut(image.part as usize) {
                split.labels.push(label as u16);
                let repeat = if image.pixels.len() == plane { channels } else { 1 };
                (0..repeat).for_each(|_| split.pixels.extend_from_slice(&image.pixels));
            }
        }
        let [train, test] = splits;
        Ok(ImageSet { name: String::new(), channels, height, width, classes, train, test, max_value: 255 })
    }
}

fn decode(found: &Found, options: &ImportOptions) -> Result<Decoded, DataError> {
    let no_folder = || DataError::NoClassFolder { file: found.path.shown.clone() };
    let (part, below) = below_split(&found.path, found.part).ok_or_else(no_folder)?;
    let [class, _, ..] = below.as_slice() else {
        return Err(no_folder());
    };
    let bad = |reason: String| DataError::BadImage {
        file: found.path.shown.clone(),
        reason: crate::source::printable(&reason),
    };
    // Decoders of untrusted images are large; a panic in one is a bad image, not the end of the import.
    let image = catch_unwind(AssertUnwindSafe(|| read(&found.bytes, options)))
        .map_err(|_| bad("the decoder failed".to_owned()))?
        .map_err(|error| bad(error.to_string()))?;
    let (width, height) = image.dimensions();
    if width == 0 || height == 0 {
        return Err(bad("no pixels".to_owned()));
    }
    let grey = match options.colour {
        Colour::Auto => !image.color().has_color(),
        Colour::Grey => true,
        Colour::Rgb => false,
    };
    let pixels = if grey {
        image.into_luma8().into_raw()
    } else {
        let interleaved = image.into_rgb8().into_raw();
        (0..3).flat_map(|channel| interleaved.iter().skip(channel).step_by(3).copied()).collect()
    };
    let (height, width) = (height as usize, width as usize);
    Ok(Decoded { part, class: (*class).to_owned(), path: found.path.clone(), height, width, pixels })
}

fn read(bytes: &[u8], options: &ImportOptions) -> Result<DynamicImage, image::ImageError> {
    let image = match read_jpeg(bytes, options) {
        Some(image) => image,
        None => read_any(bytes, options)?,
    };
    let Some(size) = options.size.and_then(|size| u32::try_from(size).ok()) else {
        return Ok(image);
    };
    let (width, height) = image.dimensions();
    let short = u64::from(width.min(height).max(1));
    let scaled = |side: u32| ((u64::from(side) * u64::from(size) + short / 2) / short).max(1) as u32;
    let (to_width, to_height) = (scaled(width), scaled(height));
    let area = u64::from(to_width) * u64::from(to_height) * 4;
    if area > options.limits.image_bytes {
        return Err(image::ImageError::Limits(image::error::LimitError::from_kind(
            image::error::LimitErrorKind::InsufficientMemory,
        )));
    }
    // Pixel formats with alpha or 16 bits are reduced first, so that only the two kept kinds are resized.
    let image = if image.color().has_color() { image.into_rgb8().into() } else { image.into_luma8().into() };
    let image: DynamicImage = if (width, height) == (to_width, to_height) {
        image
    } else {
        DynamicImage::resize_exact(&image, to_width, to_height, FilterType::Triangle)
    };
    Ok(image.crop_imm((to_width - size) / 2, (to_height - size) / 2, size, size))
}

fn read_any(bytes: &[u8], options: &ImportOptions) -> Result<DynamicImage, image::ImageError> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mut limits = image::Limits::no_limits();
    limits.max_alloc = Some(options.limits.image_bytes);
    reader.limits(limits);
    reader.decode()
}

/// Grey and RGB JPEGs by a decoder that upsamples chroma with one rounding, nearly as libjpeg does: `image`'s own
/// rounds twice and upwards, which moves CIFAR-10's channel means by 0.001 (this one: 0.0005). `None` (another format or colour space, over
/// the limit, damaged) leaves the file, and the message about it, to [`read_any`].
fn read_jpeg(bytes: &[u8], options: &ImportOptions) -> Option<DynamicImage> {
    if !bytes.starts_with(&[0xFF, 0xD8]) {
        return None;
    }
    let mut decoder = jpeg_decoder::Decoder::new(bytes);
    decoder.set_max_decoding_buffer_size(usize::try_from(options.limits.image_bytes).unwrap_or(usize::MAX));
    decoder.read_info().ok()?;
    let info = decoder.info()?;
    let (width, height) = (info.width.into(), info.height.into());
    match info.pixel_format {
        jpeg_decoder::PixelFormat::L8 => {
            Some(image::GrayImage::from_raw(width, height, decoder.decode().ok()?)?.into())
        }
        jpeg_decoder::PixelFormat::RGB24 => {
            Some(image::RgbImage::from_raw(width, height, decoder.decode().ok()?)?.into())
        }
        _ => None,
    }
}
