"""Encoders, generators and transforms."""

import numpy as np
from torch import nn

import distembed as de
from distembed.encoders.deepsets import DeepSets
from distembed.encoders.joined import Joined
from distembed.encoders.streaming import accumulate, embed_chunks, finish, merge
from distembed.generators.flow import flow


def unknown_encoder(sets):
    """An encoder that is not there."""
    de.GDE("deepset").fit(sets)


def encoder_without_a_name(sets):
    """Options without a name."""
    de.GDE({"width": 64}).fit(sets)


def unknown_option(sets):
    """An option that a member lacks."""
    de.GDE({"name": "deepsets", "widht": 64}).fit(sets)


def option_of_another_type(sets):
    """An option of another type."""
    de.GDE({"name": "deepsets", "width": "wide"}).fit(sets)


def generator_of_another_kind(sets):
    """A generator that is not defined for the kind of atoms."""
    de.GDE(generator="image_flow").fit(sets)


def module_without_latent(sets):
    """A module of your own without its dimension."""
    de.GDE(encoder=nn.Linear(2, 4)).fit(sets)


def latent_of_another_size():
    """A dimension that is not the module's."""
    encoder = nn.Linear(2, 4)
    encoder.latent = 4
    de.GDE(encoder=encoder, latent=8)


def latent_of_zero():
    """An embedding without dimensions."""
    de.GDE(latent=0)


def transform_by_a_word():
    """A transform as a word."""
    de.GDE(transform="log")


def sequences_beyond_the_longest():
    """A sequence that is longer than a generator can draw."""
    dna = {"name": "tokens", "alphabet": "ACGT"}
    sets = de.read([["ACG", "TT", "A"], ["GA", "C", "T"]], atoms=dna)
    de.GDE(generator={"name": "autoregressive", "longest": 2}).fit(sets)


def condition_of_a_transformer():
    """A condition of a transformer that does not exist."""
    dna = {"name": "tokens", "alphabet": "ACGT"}
    sets = de.read([["ACG", "TT", "A"], ["GA", "C", "T"]], atoms=dna)
    de.GDE(generator={"name": "autoregressive", "condition": "film"}).fit(sets)


def sum_pooling(sets):
    """Sum pooling."""
    de.GDE({"name": "deepsets", "pooling": "sum"}).fit(sets)


def heads_that_do_not_divide(sets):
    """Heads that do not divide the width."""
    de.GDE({"name": "attention", "width": 64, "heads": 5}).fit(sets)


def moments_of_another_kind(sets):
    """Moments of another kind."""
    de.GDE({"name": "moments", "kind": "skewness"}).fit(sets)


def bandwidth_below_zero(sets):
    """A bandwidth below zero."""
    de.GDE({"name": "kernel", "bandwidths": [1.0, -1.0]}).fit(sets)


def nothing_to_join(sets):
    """Nothing to join."""
    de.GDE({"name": "joined", "parts": []}).fit(sets)


def more_parts_than_coordinates():
    """More parts than coordinates."""
    Joined((2,), latent=1, parts=["deepsets", "deepsets"])


def trained_start(sets):
    """A start that is trained."""
    de.GDE({"name": "residual", "start": "deepsets"}).fit(sets)


def composition_of_residuals(sets):
    """A composition that ends in another one."""
    de.GDE({"name": "composed", "sets": "residual"}).fit(sets)


def convolutions_of_vectors(sets):
    """Convolutions of vectors."""
    de.GDE({"name": "composed", "point": "conv2d"}).fit(sets)


def transformer_of_odd_channels():
    """Channels that heads of attention cannot share."""
    reads = de.read([["ACG", "TT"], ["GA", "C"]], atoms={"name": "tokens", "alphabet": "ACGT"})
    point = {"name": "transformer", "channels": 30, "heads": 4}
    de.GDE({"name": "composed", "point": point}, generator=nn.Identity()).fit(reads)


def median_in_pieces(sets):
    """A median of a set in pieces."""
    encoder = DeepSets((2,), latent=4, pooling="median")
    embed_chunks(encoder, lambda: sets.chunks(0, 5))


def too_many_passes(sets):
    """A pass more than an encoder has."""
    encoder, batch = DeepSets((2,), latent=4, pooling="mean"), sets.batch([0])
    carry = ()
    for _ in range(5):
        carry = finish(accumulate(encoder, batch, carry))


def states_of_two_passes(sets):
    """States of two passes."""
    encoder, batch = DeepSets((2,), latent=4, pooling="huber"), sets.batch([0])
    first = accumulate(encoder, batch)
    merge([first, accumulate(encoder, batch, finish(first))])


def package_not_installed(absent, sets):
    """A package that is not installed."""
    absent("zuko")
    de.GDE(generator={"name": "explicit", "likelihood": "flow"}).fit(sets)


def iterator_in_place_of_a_function(sets):
    """Pieces that can be read once alone."""
    pieces = sets.chunks(0, 5)
    embed_chunks(DeepSets((2,), latent=4, pooling="mean"), lambda: pieces)


def unknown_likelihood(sets):
    """A likelihood that is not there."""
    de.GDE(generator={"name": "explicit", "likelihood": "gamma"}).fit(sets)


def likelihood_of_counts(sets):
    """A likelihood of counts for real numbers."""
    de.GDE(generator={"name": "explicit", "likelihood": "poisson"}).fit(
        sets, metric_steps=0, progress=False
    )


def likelihood_of_zeros_and_ones(sets):
    """A likelihood of zeros and ones for other numbers."""
    de.GDE(generator={"name": "explicit", "likelihood": "bernoulli"}).fit(
        sets, metric_steps=0, progress=False
    )


def likelihood_of_classes(sets):
    """A likelihood of classes for other numbers."""
    de.GDE(generator={"name": "explicit", "likelihood": "categorical"}).fit(
        sets, metric_steps=0, progress=False
    )


def one_class():
    """A likelihood of a single class."""
    sets = de.read([np.ones((5, 1)), np.ones((6, 1))])
    de.GDE(generator={"name": "explicit", "likelihood": "categorical"}).fit(sets)


def mixture_of_nothing(sets):
    """A mixture without components."""
    generator = {"name": "explicit", "likelihood": "mixture", "components": 0}
    de.GDE(generator=generator).fit(sets)


def gan_without_a_penalty(sets):
    """A GAN without a penalty."""
    de.GDE(generator={"name": "gan", "penalty": 0.0}).fit(sets)


def vae_without_a_latent(sets):
    """A VAE without a latent."""
    de.GDE(generator={"name": "vae", "hidden": 0}).fit(sets)


def draws_of_no_atom(sets):
    """Draws of no atom."""
    de.GDE(generator={"name": "implicit", "draws": 0}).fit(sets)


def divergence_without_a_gradient(sets):
    """A divergence without a gradient."""
    from distembed.divergences.bures import Bures

    def constant(a, b):
        return Bures()(a, b).detach()

    de.GDE(generator={"name": "implicit", "divergence": constant}).fit(sets)


def divergence_of_equal_sizes(sets):
    """A divergence of equal sizes alone."""

    def paired(a, b):
        return (a.x - b.x).square().sum()[None]

    de.GDE(generator={"name": "implicit", "divergence": paired}).fit(sets)


def unknown_sampler(sets):
    """A sampler that is not there."""
    de.GDE(generator={"name": "flow", "sampler": "euler9"}).fit(sets)


def odd_calls_of_heun(sets):
    """An odd number of calls of Heun's method."""
    de.GDE(generator={"name": "flow", "sampler": "heun", "calls": 7}).fit(sets)


def dropout_of_everything(sets):
    """A dropout of all embeddings."""
    de.GDE(generator={"name": "flow", "dropout": 1.0}).fit(sets)


def guidance_without_dropout(sets):
    """Guidance without dropout."""
    de.GDE(generator={"name": "flow", "guidance": 2.0}).fit(sets)


def unknown_scale(sets):
    """A scale that is not there."""
    de.GDE(generator={"name": "flow", "scale": "ranks"}).fit(sets)


def scores_with_a_base_network():
    """Normal scores with a base network."""
    flow((2,), 4, scale="scores", base_network=True)


def wormhole_without_atoms(sets):
    """A Wormhole decoder without atoms."""
    de.GDE(generator={"name": "wormhole", "atoms": 0}).fit(sets)


def unet_of_vectors():
    """Images without channels in a U-Net."""
    sets = de.read(
        [
            np.random.default_rng(0).random((9, 24, 24)),
            np.random.default_rng(0).random((9, 24, 24)),
        ],
        atoms="vectors",
    )
    de.GDE("closed_form", {"name": "flow", "backbone": "unet"}).fit(sets)


def images_too_small_for_a_unet():
    """Images too small for a U-Net."""
    sets = de.read(
        [
            np.random.default_rng(0).random((9, 1, 4, 4)),
            np.random.default_rng(0).random((9, 1, 4, 4)),
        ]
    )
    de.GDE(generator={"name": "flow", "backbone": "unet"}).fit(sets)


def brightness_of_another_name():
    """A scale of brightness that is not there."""
    sets = de.read(
        [
            np.random.default_rng(0).random((9, 1, 16, 16)),
            np.random.default_rng(0).random((9, 1, 16, 16)),
        ]
    )
    de.GDE(generator={"name": "image_flow", "brightness": "log"}).fit(sets)


def log_of_negative_numbers():
    """The logarithm of negative numbers."""
    sets = de.read([np.full((5, 2), -1.5), np.full((6, 2), 2.5)])
    de.GDE(transform=["log1p"]).fit(sets)


def components_beyond_the_features(sets):
    """More principal components than features."""
    de.GDE(transform=[{"name": "pca", "components": 5}]).fit(sets)


def no_components(sets):
    """No principal components."""
    de.GDE(transform=[{"name": "pca", "components": 0}]).fit(sets)


def cofactor_of_zero(sets):
    """A cofactor of zero."""
    de.GDE(transform=[{"name": "arcsinh", "cofactor": 0}]).fit(sets)


def standardisation_over_sets(sets):
    """A standardisation over another axis."""
    de.GDE(transform=[{"name": "standardise", "over": "set"}]).fit(sets)


def library_of_zero(sets):
    """A library size of zero."""
    de.GDE(transform=[{"name": "log1p", "scale": 0}]).fit(sets)
