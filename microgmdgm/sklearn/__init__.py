"""The model for your own array, as a scikit-learn estimator.  Reading order: labels, tables, estimator.

    from microgmdgm.sklearn import SemiUnsupervisedClassifier
"""

from .estimator import SemiUnsupervisedClassifier
