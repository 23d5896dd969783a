"""Rough paths: what remains stable when the weights of a deep network are not smooth in depth.

variation → lift → difference → stability are the theory of discrete rough paths, `paths` examples of known roughness;
`scaling` asks which of the limits an ODE, an SDE or neither, the weights of a sweep in depth have.
"""

from deeplimit.rough.lift import as_path, level2, level2_variation, rough_distance, rough_norm
from deeplimit.rough.stability import bound
from deeplimit.rough.variation import p_variation

__all__ = ["as_path", "bound", "level2", "level2_variation", "p_variation", "rough_distance", "rough_norm"]
