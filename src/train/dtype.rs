//! The type of matrix work, and which one a device is faster in: the only place that decides it.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind};

use super::speed::{self, Rates, Work};
use crate::config::RunConfig;
use crate::native::cuda;
use crate::{Error, Result};

/// How many times faster bfloat16 has to be than float32, which rounds less: more than two measurements differ by.
const MARGIN: f64 = 1.2;
/// A type that was asked for and is so many times slower than the other is warned of.
const SLOWER: f64 = 3.0;
/// The first compute capability whose multiprocessors have bfloat16.
const CAPABILITY: (u32, u32) = (8, 0);

/// The type of matrix work. Master weights, norms, softmax and loss are float32 always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// `"bfloat16"` where its matrix products are at least 1.2 times as fast on the device, measured at the start, else
    /// `"float32"`. A run keeps the one that it began with: its `config.toml` has the name.
    Auto,
    /// 8 bits of exponent, 8 of fraction.
    Bfloat16,
    /// Single precision.
    Float32,
}

impl Dtype {
    /// libtorch's name for it; none for [`Dtype::Auto`], which is no type yet.
    pub fn kind(self) -> Option<Kind> {
        match self {
            Dtype::Auto => None,
            Dtype::Bfloat16 => Some(Kind::BFloat16),
            Dtype::Float32 => Some(Kind::Float),
        }
    }

    /// Refuses a type that the device does not have.
    pub fn check(self, device: Device) -> Result<()> {
        match without_bfloat16(device) {
            Some(reason) if self == Dtype::Bfloat16 => {
                Err(Error::Usage(format!("bfloat16: {reason}; choose float32 or auto")))
            }
            _ => Ok(()),
        }
    }

    /// As keys and flags name it.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::Auto => "auto",
            Dtype::Bfloat16 => "bfloat16",
            Dtype::Float32 => "float32",
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Dtype {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "auto" => Ok(Dtype::Auto),
            "bfloat16" => Ok(Dtype::Bfloat16),
            "float32" => Ok(Dtype::Float32),
            _ => Err(Error::Usage(format!("--dtype {name}: expected auto, float32 or bfloat16"))),
        }
    }
}

/// A type, and why it is that.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    /// The type, never [`Dtype::Auto`].
    pub dtype: Dtype,
    /// Why, in a few words.
    pub reason: String,
    /// The measured rates of both, in floating-point operations a second; on a CPU those of one thread.
    pub rates: Rates,
}

/// The type that these rates speak for.
pub fn select(rates: &Rates) -> Dtype {
    match rates.bfloat16 {
        Some(half) if half >= MARGIN * rates.float32 => Dtype::Bfloat16,
        _ => Dtype::Float32,
    }
}

impl Choice {
    /// The type of a device for some work: as `asked`, or the faster one. Measures both. Fails where the device does not
    /// have what is asked for.
    pub fn new(asked: Dtype, work: &Work, device: Device) -> Result<Self> {
        asked.check(device)?;
        Ok(Choice::of(asked, speed::rates(work, device)?))
    }

    /// The same for the training of a configuration.
    pub fn for_run(config: &RunConfig, device: Device) -> Result<Self> {
        Choice::new(config.train.dtype, &Work::training(&config.model, &config.train), device)
    }

    /// The same of rates that are measured already.
    fn of(asked: Dtype, rates: Rates) -> Self {
        let dtype = if asked == Dtype::Auto { select(&rates) } else { asked };
        let ratio = rates.bfloat16.map(|half| half / rates.float32);
        let reason = match (asked, dtype, ratio) {
            (Dtype::Auto, Dtype::Bfloat16, Some(ratio)) => format!("{ratio:.1} times as fast as float32"),
            (Dtype::Auto, _, None) => rates.without.clone().unwrap_or_default(),
            (Dtype::Auto, _, Some(ratio)) if ratio * MARGIN <= 1.0 => {
                format!("{} times as fast as bfloat16", times(1.0 / ratio))
            }
            (Dtype::Auto, ..) => format!("bfloat16, which rounds more, is not {MARGIN} times as fast"),
            _ => "as asked for".to_owned(),
        };
        Choice { dtype, reason, rates }
    }

    /// What is computed in, why, and the rates, in a line. `model` is whose products they are of, such as `this model`.
    pub fn line(&self, model: &str) -> String {
        let half = match self.rates.bfloat16 {
            Some(rate) => format!("bfloat16 {}", gflops(rate)),
            None => "bfloat16 not measured".to_owned(),
        };
        let (dtype, reason, single) = (self.dtype, &self.reason, gflops(self.rates.float32));
        format!("{dtype}: {reason} (matrix products of {model}, on a CPU by one thread: float32 {single}, {half})")
    }

    /// The same where a run goes on in the type that it began with, which it may have been asked for or have measured.
    pub fn of_a_run_that_began(self) -> Self {
        Choice { reason: "as the run began".to_owned(), ..self }
    }

    /// The other type, and how many times faster it is, where the rates speak for it.
    fn better(&self) -> Option<(Dtype, f64)> {
        let (single, half) = (self.rates.float32, self.rates.bfloat16?);
        let (other, ratio) = match self.dtype {
            Dtype::Bfloat16 => (Dtype::Float32, single / half),
            _ => (Dtype::Bfloat16, half / single),
        };
        (ratio >= MARGIN).then_some((other, ratio))
    }

    /// A warning where the type is one that was `asked` for, such as `--dtype bfloat16`, and the other is far faster; with the
    /// remedy.
    pub fn warning(&self, asked: &str, remedy: &str) -> Option<String> {
        let (best, ratio) = self.better().filter(|&(_, ratio)| ratio >= SLOWER)?;
        Some(format!("{asked}: {best} is {} times as fast on this machine: {remedy}", times(ratio)))
    }

    /// What to say of a run that goes on in the type that it began with, where this machine would choose the other.
    pub fn kept(&self) -> Option<String> {
        let (best, ratio) = self.better()?;
        Some(format!(
            "the run began in {0} and goes on in it; this machine would choose {best}, which is {1} times as fast: \
             --allow-config-change --set train.dtype={best} goes on in that",
            self.dtype,
            times(ratio)
        ))
    }
}

/// Why a device has no bfloat16, where it has none or does not say.
pub(super) fn without_bfloat16(device: Device) -> Option<String> {
    let Device::Cuda(index) = device else { return None };
    match cuda::device(index) {
        Ok(device) => lacks_bfloat16(device.capability),
        Err(error) => Some(format!("the device does not say whether it has bfloat16 ({error})")),
    }
}

fn lacks_bfloat16(capability: (u32, u32)) -> Option<String> {
    let ((major, minor), (least, _)) = (capability, CAPABILITY);
    (capability < CAPABILITY)
        .then(|| format!("the device is of compute capability {major}.{minor}, and bfloat16 needs {least}.0"))
}

/// The configuration with the type in which it is trained on a device: what memory it needs depends on that.
pub fn resolved(config: &RunConfig, device: Device) -> Result<RunConfig> {
    config.train.dtype.check(device)?;
    let mut config = config.clone();
    if config.train.dtype == Dtype::Auto {
        config.train.dtype = Choice::for_run(&config, device)?.dtype;
    }
    Ok(config)
}

/// A ratio, for people.
fn times(ratio: f64) -> String {
    if ratio < 10.0 { format!("{ratio:.1}") } else { format!("{ratio:.0}") }
}

/// A rate, for people.
pub fn gflops(rate: f64) -> String {
    let rate = rate / 1e9;
    if rate < 10.0 { format!("{rate:.1} GFLOP/s") } else { format!("{rate:.0} GFLOP/s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(float32: f64, bfloat16: Option<f64>) -> Rates {
        Rates { float32, bfloat16, without: None }
    }

    #[test]
    fn the_type_follows_from_the_rates() {
        for (float32, bfloat16, expected) in [
            (230e9, Some(1000e9), Dtype::Bfloat16),
            (95e9, Some(1e9), Dtype::Float32),
            // Noise decides nothing.
            (100e9, Some(110e9), Dtype::Float32),
            (100e9, Some(120e9), Dtype::Bfloat16),
            (100e9, None, Dtype::Float32),
        ] {
            assert_eq!(select(&rates(float32, bfloat16)), expected, "{float32} {bfloat16:?}");
        }
    }

    #[test]
    fn a_choice_says_why_and_what_was_measured() {
        let line = |asked, rates| Choice::of(asked, rates).line("this model");
        let products =
            "(matrix products of this model, on a CPU by one thread: float32 230 GFLOP/s, bfloat16 1000 GFLOP/s)";
        assert_eq!(
            line(Dtype::Auto, rates(230e9, Some(1000e9))),
            format!("bfloat16: 4.3 times as fast as float32 {products}")
        );
        assert_eq!(line(Dtype::Float32, rates(230e9, Some(1000e9))), format!("float32: as asked for {products}"));
        let emulated = line(Dtype::Auto, rates(95e9, Some(1.1e9)));
        assert!(
            emulated.starts_with("float32: 86 times as fast as bfloat16 (") && emulated.contains("1.1 GFLOP/s"),
            "{emulated}"
        );
        let close = line(Dtype::Auto, rates(100e9, Some(105e9)));
        assert!(close.starts_with("float32: bfloat16, which rounds more, is not 1.2 times as fast"), "{close}");
        let old = line(Dtype::Auto, Rates { without: lacks_bfloat16((7, 5)), ..rates(8e12, None) });
        assert!(old.contains("compute capability 7.5, and bfloat16 needs 8.0"), "{old}");
        assert!(old.contains("bfloat16 not measured)"), "{old}");
    }

    #[test]
    fn what_is_asked_for_is_warned_of_where_it_is_three_times_slower() {
        let warning = |asked, float32, bfloat16| {
            let choice = Choice::of(asked, rates(float32, Some(bfloat16)));
            choice.warning("train.dtype", "set train.dtype = \"auto\"")
        };
        let said = warning(Dtype::Bfloat16, 90e9, 1e9).unwrap();
        assert_eq!(said, "train.dtype: float32 is 90 times as fast on this machine: set train.dtype = \"auto\"");
        assert!(warning(Dtype::Float32, 100e9, 300e9).unwrap().contains("bfloat16 is 3.0 times as fast"));
        for (asked, float32, bfloat16) in [
            (Dtype::Bfloat16, 299e9, 100e9),
            (Dtype::Float32, 100e9, 290e9),
            (Dtype::Auto, 90e9, 1e9),
            (Dtype::Float32, 90e9, 1e9),
        ] {
            assert_eq!(warning(asked, float32, bfloat16), None, "{asked} {float32} {bfloat16}");
        }
    }

    #[test]
    fn a_run_that_goes_on_is_told_what_the_machine_would_choose() {
        let kept = |asked, float32, bfloat16| Choice::of(asked, rates(float32, Some(bfloat16))).kept();
        let said = kept(Dtype::Bfloat16, 100e9, 50e9).unwrap();
        assert!(
            said.contains("began in bfloat16") && said.contains("would choose float32, which is 2.0 times"),
            "{said}"
        );
        assert!(said.contains("--set train.dtype=float32"), "{said}");
        assert_eq!(kept(Dtype::Bfloat16, 100e9, 200e9), None);
        assert_eq!(kept(Dtype::Float32, 100e9, 110e9), None, "within the noise");
        assert_eq!(kept(Dtype::Bfloat16, 110e9, 100e9), None, "within the noise");
    }

    #[test]
    fn bfloat16_begins_with_the_eighth_generation_of_devices() {
        for (capability, lacks) in
            [((6, 1), true), ((7, 0), true), ((7, 5), true), ((8, 0), false), ((8, 6), false), ((12, 0), false)]
        {
            assert_eq!(lacks_bfloat16(capability).is_some(), lacks, "{capability:?}");
        }
        assert_eq!(without_bfloat16(Device::Cpu), None);
        Dtype::Bfloat16.check(Device::Cpu).unwrap();
    }
}
