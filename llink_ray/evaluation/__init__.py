"""Figures of trained bundles, and the tables, plots and reports that show them.

``measure`` the pipeline of a run, ``validation`` a model in training, ``held_out`` bundles on any text;
``comparison`` with baselines, ``judge`` of pairs of answers, ``insight`` into one text.
"""
