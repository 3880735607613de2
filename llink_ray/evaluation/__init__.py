"""What a trained bundle is worth: figures, and the tables, plots and report that show them.

``retrieval``, ``answers`` and ``cost`` turn vectors, answers and token counts into figures and load no
model. ``history`` keeps the records of a run while it trains. ``sheets`` turns the metrics into rows
once, for ``tables`` (terminal) and ``report`` (Markdown) alike; ``plots`` draws them.
"""
