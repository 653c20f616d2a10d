"""Every choice of an experiment; a default is the paper's, or its help text says "chosen"."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from adml.config_checks import refuse_contradictions
from adml.config_file import (
    apply_overrides,
    from_mapping,
    option,
    parse_yaml,
    read_text,
    to_mapping,
)
from adml.config_losses import LossesConfig
from adml.errors import ConfigError

MODEL_KINDS = ("adml", "cmcd", "phonmatchnet")
TRIAL_KINDS = (
    "words", "phrases_easy", "phrases_hard", "classification", "choice", "keywords", "modality",
    "file",
)  # fmt: skip


@dataclass(frozen=True)
class FeaturesConfig:
    """Log-mel front end (paper, section 4.1)."""

    sample_rate_hz: int = option(16000, text="chosen; no other, audio is decoded to it")
    window_ms: float = option(25.0, low=1.0)
    shift_ms: float = option(10.0, low=1.0, high=100.0)
    mel_bins: int = option(40, low=4, high=256)
    low_hz: float = option(20.0, low=0.0, text="chosen")
    high_hz: float = option(7600.0, low=100.0, text="chosen")


@dataclass(frozen=True)
class DataConfig:
    """Which aligned speech is read and which word segments are cut from it."""

    root: str = option("", text="folder that holds the sets; usually given by --speech")
    train: tuple[str, ...] = option(("train",), text="sets as FOLDER or FOLDER:PATH_PREFIX")
    words_file: str = option("words.tsv")
    min_words: int = option(1, low=1, high=16, text="chosen")
    max_words: int = option(4, low=1, high=16, text="chosen")
    min_seconds: float = option(0.3, low=0.05, text="chosen")
    max_seconds: float = option(2.5, low=0.1, text="chosen")
    max_gap_seconds: float = option(0.3, low=0.0, text="chosen: a longer pause ends a phrase")
    min_confidence: float | None = option(None, text="alignments below this are left out")
    exclude_words: tuple[str, ...] = option((), text="segments that hold one are left out")
    held_out_speakers: float = option(0.0, low=0.0, high=0.9, text="share kept from training")


@dataclass(frozen=True)
class BatchConfig:
    """K keywords x M utterances (paper, section 4.1: 250 x 2)."""

    keywords: int = option(250, low=2, high=100_000)
    utterances: int = option(2, low=1, high=64)
    min_utterances: int = option(
        2, low=1, text="keywords with fewer segments are left out; 1 repeats a segment"
    )
    neighbour_fraction: float = option(
        0.0, low=0.0, high=0.9, text="share of phonetic near neighbours in a batch"
    )
    length_window: int = option(
        1, low=1, text="batches whose keywords are dealt to them by length; 1 = off"
    )
    keyword_classes: int | None = option(
        None, low=2, text="classes of L_key, most frequent first; null = all"
    )
    negative_texts: int = option(
        2, low=1, high=64, text="chosen: other texts for each keyword; of the baselines alone"
    )
    block_probability: float = option(
        0.0, low=0.0, high=1.0, text="share of segments heard amid running speech; 0 = off"
    )
    block_seconds: float = option(2.0, low=0.1, high=30.0)
    block_spans: int = option(
        6, low=1, high=64, text="most segments of a block, each an utterance of the batch"
    )
    block_jitter_ms: float = option(60.0, low=0.0, high=500.0, text="of edges within a block")
    block_distractors: int = option(
        0, low=0, high=64, text="stretches of a block with no keyword, for InfoNCE to push away"
    )


@dataclass(frozen=True)
class CutConfig:
    """How a segment is cut from its recording (all chosen)."""

    jitter_ms: float = option(20.0, low=0.0, high=500.0)
    context_probability: float = option(0.0, low=0.0, high=1.0)
    context_seconds: float = option(0.2, low=0.0, high=2.0)
    padding_probability: float = option(0.0, low=0.0, high=1.0)
    padding_seconds: float = option(0.45, low=0.0, high=5.0)


@dataclass(frozen=True)
class AugmentationConfig:
    """Backgrounds, rooms and masks (paper, section 4.1; ranges chosen as in common recipes)."""

    noise: tuple[str, ...] = option(("noise",), text="sets of noise; an empty list = none")
    noise_probability: float = option(
        0.5, low=0.0, high=1.0, text="of any background: noise, music or babble, in equal parts"
    )
    noise_snr_db: tuple[float, float] = option((0.0, 15.0), low=-40.0, high=100.0)
    music: tuple[str, ...] = option((), text="sets of music")
    music_snr_db: tuple[float, float] = option((5.0, 15.0), low=-40.0, high=100.0)
    babble: tuple[str, ...] = option((), text="sets of speech, of which 3 to 7 talk at once")
    babble_snr_db: tuple[float, float] = option((13.0, 20.0), low=-40.0, high=100.0)
    impulse_responses: tuple[str, ...] = option((), text="folders of room impulse responses")
    reverberation_probability: float = option(0.5, low=0.0, high=1.0)
    speed_probability: float = option(0.0, low=0.0, high=1.0)
    speed_range: tuple[float, float] = option(
        (0.9, 1.1), low=0.5, high=2.0, text="times as fast; the pitch goes with it"
    )
    codec_probability: float = option(0.0, low=0.0, high=1.0)
    codecs: tuple[str, ...] = option(
        ("mu_law", "gsm", "ima_adpcm"), text="of mu_law, a_law, gsm, ima_adpcm, vorbis, opus"
    )
    gain_db: tuple[float, float] = option((-10.0, 5.0), low=-60.0, high=40.0, text="chosen")
    time_masks: int = option(1, low=0, high=10, text="chosen")
    time_mask_frames: int = option(5, low=0, high=100, text="chosen")
    frequency_masks: int = option(1, low=0, high=10, text="chosen")
    frequency_mask_bins: int = option(6, low=0, high=40, text="chosen")


@dataclass(frozen=True)
class ModelConfig:
    """Encoders (paper, sections 3 and 4.1), or a baseline of section 4.3."""

    kind: str = option(
        "adml", choices=MODEL_KINDS, text="cmcd, phonmatchnet: baselines that score pairs"
    )
    fast: bool = option(True, text="native rank-4 convolutions; false = plain Keras Conv1D")
    text_units: int = option(256, low=8, high=2048, text="LSTM units a direction; or 128")
    attention_projections: str = option(
        "qk", choices=("none", "qk", "qkv"), text="chosen; Eq. 1 writes raw Q, K, V"
    )
    speech_embedding: str = option(
        "", text="of phonmatchnet: folder of a pretrained embedding's SavedModel; empty = none"
    )


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW (paper, section 4.1)."""

    learning_rate: float = option(1e-4, low=0.0, high=1.0)
    weight_decay: float = option(1e-5, low=0.0, high=1.0)
    schedule: str = option("halving", choices=("halving", "cosine"))
    halve_every_epochs: float = option(20.0, low=0.01)
    warmup_steps: int = option(0, low=0)
    clip_norm: float = option(5.0, low=0.0, text="chosen: global norm of the network's gradients")
    constants_learning_rate: float = option(
        1e-4, low=0.0, high=1.0, text="chosen: alpha, beta, lambda and scales"
    )
    bias_learning_rate: float = option(1e-2, low=0.0, high=1.0, text="chosen: SphereFace2's")


@dataclass(frozen=True)
class TrialsConfig:
    """One list of trials: where its clips come from and how it is drawn."""

    name: str = option("")
    kind: str = option("words", choices=TRIAL_KINDS)
    folder: str = option("", text="within the speech folder; of kind file: the list itself")
    prefix: str = option("")
    words_file: str = option("words.tsv")
    min_seconds: float = option(0.5, low=0.0)
    max_clips: int | None = option(None, low=1, text="evenly thinned out")
    whole_file: bool = option(False, text="clips are whole recordings, not their speech alone")
    held_out_only: bool = option(False, text="only the speakers of data.held_out_speakers")
    choices: int = option(30, low=2, text="of choice lists: the most frequent words")
    vocabulary: str = option("", text="of keyword lists: set whose words are negatives")
    negatives: int = option(50, low=1, text="negatives per positive")
    positives: int = option(3000, low=1, text="of phrase lists")
    pool: str = option(
        "all", choices=("all", "drawn"), text="of phrase lists: whose texts are negatives"
    )
    seed: int = option(0, low=0, high=2**32 - 1)


@dataclass(frozen=True)
class TrainingConfig:
    """Length, devices and records of a run."""

    epochs: float = option(100.0, low=1e-3, text="one epoch is one pass over the keywords")
    steps: int | None = option(None, low=1, high=10**9, text="overrides epochs")
    replicas: int = option(0, low=0, text="devices to mirror on; 0 = all GPUs, or one CPU")
    loss_scope: str = option("global", choices=("global", "replica"), text="chosen")
    log_every_steps: int = option(10, low=1)
    gradient_norms_every_steps: int = option(500, low=0, text="of each term alone; 0 = off")
    checkpoint_every_steps: int = option(200, low=1)
    keep_checkpoints: int = option(2, low=1)
    max_nonfinite_steps: int = option(
        10, low=0, text="so many steps of a run may be left out for it"
    )
    validate_every_steps: int = option(0, low=0, text="and at the last; 0 = off")
    validation: TrialsConfig = option(TrialsConfig("development"), text="judges the best")
    initial: str = option(
        "",
        text="run folder of a like model, with whose last weights it begins; "
        "package = those in the package; empty = none",
    )
    deterministic: bool = option(False)
    compile: bool = option(True, text="false: run eagerly; slow steps, quick start")
    autocast: str = option("none", choices=("none", "bfloat16"), text="of matrix products")


@dataclass(frozen=True)
class EvaluationConfig:
    """The trial lists of a run and the bootstrap."""

    trials: tuple[TrialsConfig, ...] = option(())
    resamples: int = option(1000, low=0, text="of the bootstrap over words")


@dataclass(frozen=True)
class Config:
    """One experiment."""

    name: str = option("adml_sf2")
    description: str = option("")
    seed: int = option(0, low=0, high=2**32 - 1)
    features: FeaturesConfig = option(FeaturesConfig())
    data: DataConfig = option(DataConfig())
    batches: BatchConfig = option(BatchConfig())
    cut: CutConfig = option(CutConfig())
    augmentation: AugmentationConfig = option(AugmentationConfig())
    model: ModelConfig = option(ModelConfig())
    losses: LossesConfig = option(LossesConfig())
    optimizer: OptimizerConfig = option(OptimizerConfig())
    training: TrainingConfig = option(TrainingConfig())
    evaluation: EvaluationConfig = option(EvaluationConfig())

    def __post_init__(self):
        refuse_contradictions(self)


def load_config(path: str | Path | None = None, overrides: list[str] | None = None) -> Config:
    """Read a configuration: the defaults, then the file, then the overrides.

    Args:
        path: YAML file that states what differs from the defaults; None for the defaults.
        overrides: items `dotted.key=value`.

    Raises:
        ConfigError: the file or a key is wrong; the message holds the dotted path.
    """
    values = parse_yaml(read_text(path), source=str(path)) if path is not None else {}
    if values is not None and not isinstance(values, dict):
        raise ConfigError(f"{path} must hold a mapping. Received: {type(values).__name__}.")
    return from_mapping(Config, apply_overrides(values, overrides or []))


def dump_config(config: Config) -> str:
    """The whole resolved configuration as YAML text; `load_config` reads it back equal."""
    return yaml.safe_dump(to_mapping(config), sort_keys=False, allow_unicode=True)
