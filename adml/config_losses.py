"""Every choice of the losses; a default is the paper's, or its help text says "chosen"."""

from __future__ import annotations

from dataclasses import dataclass

from adml.config_file import option


@dataclass(frozen=True)
class UtteranceLossConfig:
    """L_utt: asymmetric proxy term and the three relational terms (section 3.2)."""

    asyp_weight: float = option(1.0, low=0.0, text="chosen: D and A alone leave cosines undefined")
    asyp_alpha: float = option(2.0, low=1e-3, text="chosen")
    asyp_beta: float = option(40.0, low=1e-3, text="chosen")
    asyp_margin: float = option(0.5, low=-1.0, high=1.0, text="chosen")
    distance_weight: float = option(1.0, low=0.0, text="chosen")
    angle_weight: float = option(2.0, low=0.0, text="chosen")
    prototype_weight: float = option(1.0, low=0.0, text="chosen")
    prototype_scale: float = option(20.0, low=1e-3, text="chosen; learnable")
    infonce_weight: float = option(0.0, low=0.0, text="not in the paper: symmetric InfoNCE")
    infonce_scale: float = option(20.0, low=1e-3, text="learnable")


@dataclass(frozen=True)
class PhonemeLossConfig:
    """L_phn (Eq. 2) with AdaMS per phoneme class."""

    weight: float = option(0.1, low=0.0, text="lambda_phn of Eq. 3")
    kind: str = option("asyp", choices=("asyp", "proxy_bd", "proxy_ms", "clat", "none"))
    adaptive: bool = option(True, text="AdaMS: alpha, beta, lambda learnt per phoneme class")
    parametrisation: str = option("clamp", choices=("clamp", "softplus"), text="chosen")
    alpha: float = option(0.01, low=1e-3)
    beta: float = option(1.5, low=1e-3)
    margin: float = option(0.01, low=-1.0, high=1.0, text="lambda of Eq. 2")
    temperature: float = option(0.07, low=1e-3, text="of clat")


@dataclass(frozen=True)
class MonotonicLossConfig:
    """L_MM: monotonic matching."""

    weight: float = option(1.0, low=0.0)
    kind: str = option("guided", choices=("guided", "diagonal"), text="chosen")
    width: float = option(0.2, low=1e-3, text="chosen: g of the guided-attention penalty")


@dataclass(frozen=True)
class KeywordLossConfig:
    """L_key: the auxiliary keyword classifier of the acoustic encoder."""

    weight: float = option(1.0, low=0.0)
    kind: str = option("sphereface2", choices=("sphereface2", "aam_softmax", "triplet", "none"))
    variant: str = option("C", choices=("A", "C"), text="chosen: SphereFace2 type")
    scale: float = option(32.0, low=1e-3, text="chosen")
    margin: float | None = option(None, low=0.0, high=2.0, text="chosen; null: that of the kind")
    exponent: float = option(3.0, low=1.0, text="chosen: t")
    balance: float = option(0.7, low=0.0, high=1.0, text="chosen: lambda of SphereFace2")
    chunk: int = option(16384, low=1, text="chosen: more classes are taken so many at a time")
    ramp_start_epoch: float = option(10.0, low=0.0, text="chosen: the margin is 0 before")
    ramp_end_epoch: float = option(30.0, low=0.0, text="chosen: the margin is whole after")


@dataclass(frozen=True)
class AdversarialLossConfig:
    """L_adv at both levels (Eq. 4), through the gradient reversal layer."""

    phoneme: bool = option(True)
    utterance: bool = option(True)
    strength: float = option(0.1, low=0.0, text="lambda_adv of Eq. 5")


@dataclass(frozen=True)
class MatchingLossConfig:
    """Binary cross-entropy of the baselines (section 4.3); read by them alone."""

    utterance_weight: float = option(1.0, low=0.0)
    phoneme_weight: float = option(1.0, low=0.0, text="of phonmatchnet")
    monotonic_weight: float = option(0.3, low=0.0, text="chosen: L_MM of cmcd")


@dataclass(frozen=True)
class LossesConfig:
    """All terms of Eq. 3 to 5, and those of the baselines."""

    utterance: UtteranceLossConfig = option(UtteranceLossConfig())
    phoneme: PhonemeLossConfig = option(PhonemeLossConfig())
    monotonic: MonotonicLossConfig = option(MonotonicLossConfig())
    keyword: KeywordLossConfig = option(KeywordLossConfig())
    adversarial: AdversarialLossConfig = option(AdversarialLossConfig())
    matching: MatchingLossConfig = option(MatchingLossConfig())
    ctc_weight: float = option(0.0, low=0.0, text="not in the paper: CTC head on the frames")
