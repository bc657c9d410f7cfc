"""Options of the smallest networks of the ``darts`` space that have all kinds of cells."""

TINY = {
    "channels": 4,
    "cells": 4,
    "search_channels": 4,
    "search_cells": 3,
    "eval_channels": 4,
    "eval_cells": 4,
    "stem_multiplier": 2,
}
