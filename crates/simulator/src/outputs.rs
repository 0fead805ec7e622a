//! What a vendor shows of the outputs of a task that was successful, with what goes wrong with it.

use crate::audio::{Extra, Recipe};
use crate::settings::{AddressForm, Faults, OutputShape};
use crate::world::{Fault, Task, Vendor, World, now};

mod address;
mod file;

pub(crate) use address::{Address, decoded, task_of};
pub(crate) use file::File;

/// The outputs of a task.
#[derive(Debug)]
pub(crate) enum Outputs {
    /// There are none yet, or never: in which of the forms that a vendor has for it.
    Missing(usize),
    Shown(Shown),
}

/// Outputs that are shown.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) shape: OutputShape,
    pub(crate) songs: Vec<Song>,
    /// Addresses of files that are no songs.
    pub(crate) beside: Vec<String>,
}

/// One song.
#[derive(Debug)]
pub(crate) struct Song {
    /// Its address, or its key below the job's folder in Tencent's bucket.
    pub(crate) address: String,
    pub(crate) millis: u32,
}

impl Shown {
    /// The addresses of the songs.
    pub(crate) fn addresses(&self) -> Vec<&str> {
        self.songs.iter().map(|song| &*song.address).collect()
    }
}

/// The outputs of a task that was successful.
pub(crate) fn of(world: &World, vendor: Vendor, task: &Task) -> Outputs {
    let faults = world.faults(vendor);
    let is_early = now() < task.ended.unwrap_or(0).saturating_add(faults.output_late_ms);
    if world.strikes(vendor, task, Fault::OutputNever, faults.output_never_rate)
        || is_early && world.strikes(vendor, task, Fault::OutputLate, faults.output_late_rate)
    {
        return Outputs::Missing(world.draw("missing", &task.id));
    }
    let shape = shape(world, vendor, task, &faults);
    let form = form(world, vendor, task, &faults);
    let place = |name: &str| place(world, vendor, task, name, form);
    let song = |recipe: &Recipe| Song { address: place(&recipe.name()), millis: recipe.millis };
    let mut songs: Vec<Song> = task.outputs.iter().map(song).collect();
    let mut beside = Vec::new();
    match (shape, task.outputs.first()) {
        (OutputShape::Many, Some(first)) => {
            let recipe = |n| Recipe { seed: first.seed.wrapping_add(n as u64), ..first.clone() };
            songs = (0..faults.output_many.max(1)).map(|n| song(&recipe(n))).collect();
        }
        (OutputShape::Unusable, Some(first)) => {
            let unusable: &[&str] = match vendor {
                Vendor::Tencent => &["", " "],
                _ => &["ftp://files.invalid/song.mp3", "", "not an address"],
            };
            let chance = world.draw("unusable", &task.id);
            let address = unusable[chance % unusable.len()].to_owned();
            let is_first = (chance / unusable.len()).is_multiple_of(2);
            let at = if is_first { 0 } else { songs.len() };
            songs.insert(at, Song { address, millis: first.millis });
        }
        (OutputShape::Beside, Some(_)) => beside = Extra::ALL.map(|extra| place(extra.name())).into(),
        _ => {}
    }
    Outputs::Shown(Shown { shape, songs, beside })
}

/// The address of one file of a task, or its key in Tencent's bucket.
fn place(world: &World, vendor: Vendor, task: &Task, name: &str, form: AddressForm) -> String {
    if vendor == Vendor::Tencent {
        let prefix = task.request["outputs"][0]["smartContentDescriptor"]["outputPrefix"].as_str();
        return address::key(prefix.unwrap_or_default(), &task.id, name, form);
    }
    let until = match vendor {
        Vendor::SenseAudio => now() + world.config.senseaudio.url_ttl_s * 1000,
        _ => 0,
    };
    let (task, generation) = (task.id.clone(), task.generation);
    Address { vendor, task, generation, until, name: name.to_owned() }.write(world.addr, form)
}

fn shape(world: &World, vendor: Vendor, task: &Task, faults: &Faults) -> OutputShape {
    if faults.output_shape == OutputShape::None
        || !world.strikes(vendor, task, Fault::OutputShape, faults.output_shape_rate)
    {
        return OutputShape::None;
    }
    match faults.output_shape {
        OutputShape::Mixed => OutputShape::ODD[world.draw("shape", &task.id) % OutputShape::ODD.len()],
        shape => shape,
    }
}

fn form(world: &World, vendor: Vendor, task: &Task, faults: &Faults) -> AddressForm {
    if faults.address_form == AddressForm::None
        || !world.strikes(vendor, task, Fault::AddressForm, faults.address_form_rate)
    {
        return AddressForm::None;
    }
    match faults.address_form {
        AddressForm::Mixed => AddressForm::ODD[world.draw("form", &task.id) % AddressForm::ODD.len()],
        form => form,
    }
}
