"""What each Ray Train worker runs: Stage A, then Stage B, then (the first worker) the bundle's figures."""

from __future__ import annotations

import random
import traceback
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from llink_ray.bundles.base import load_modules, start_bundle
from llink_ray.cluster import checkpoints
from llink_ray.cluster import engine as engines
from llink_ray.cluster.final_checkpoint import TrainingPosition
from llink_ray.cluster.loop import TrainingLoop
from llink_ray.cluster.memory import free_memory
from llink_ray.cluster.progress import log_writer
from llink_ray.cluster.run_directory import RunDir
from llink_ray.corpus import Pair
from llink_ray.evaluation.validation import ValidationEvaluator
from llink_ray.features import FeatureStore
from llink_ray.models.decoder import Decoder
from llink_ray.models.encoder import Encoded
from llink_ray.models.llink import LlinkModel, Prompts, collate, new_slots, with_lora
from llink_ray.models.locate import explain_errors, locate
from llink_ray.models.projector import Projector
from llink_ray.progress import PrintLine, progress_output
from llink_ray.prompts.instructions import source_pairs, training_examples
from llink_ray.settings import Settings
from llink_ray.text.languages import find
from llink_ray.training import history
from llink_ray.training.alignment_data import AlignmentData, MappedRows
from llink_ray.training.collective import broadcast_from_first, world
from llink_ray.training.embedding_start import start_slots
from llink_ray.training.examples import ExampleSource, sentence_numbers, tokenise
from llink_ray.training.stage_a import StageA, new_projector, prepare_alignment, seed_worker, validate
from llink_ray.training.stage_b import StageB, load_sources

TEACHER_ROWS = 8_192
"""Teacher states normalised at a time."""


def train(config: dict[str, Any]) -> None:
    """The ``train_loop_per_worker`` of one run; ``config`` is plain data.

    Each worker appends the traceback of its failure to the run's ``error.txt``.
    """
    try:
        log = log_writer(RunDir(Path(config["run_dir"])).log)
        with progress_output(log) if world()[0] == 0 else nullcontext():
            TrainingWorker(config, log).run()
    except Exception:
        with suppress(OSError), RunDir(Path(config["run_dir"])).error.open("a", encoding="utf-8") as file:
            file.write(f"worker {world()[0]}:\n{traceback.format_exc()}\n")
        raise


class TrainingWorker:
    """One worker's part of a run."""

    def __init__(self, config: dict[str, Any], log: PrintLine) -> None:
        import ray.train.torch

        self.settings = Settings.model_validate(config["settings"])
        self.dir = RunDir(Path(config["run_dir"]))
        self.features = {
            name: FeatureStore(config["store"]).open(key) for name, key in config["features"].items()
        }
        self.language = find(self.dir.language_and_settings()[0])
        self.token_dim: int = config["token_dim"]
        cluster = self.settings.cluster
        self.threads = cluster.threads or max(1, int(cluster.cpus_per_worker))
        torch.set_num_threads(self.threads)
        self.rank, self.workers = world()
        self.trained: bool = config["trained"]
        self.measured: bool = config["measured"]
        self.loop = TrainingLoop(self.dir, self.settings, log, tracked=self.measured)
        seed = self.settings.seed * 1_000 + self.rank
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        self.device = ray.train.torch.get_device()
        self.checkpoint = ray.train.get_checkpoint()

    def run(self) -> None:
        """Both stages, unless they are done already, then the bundle's figures, where wanted."""
        if not self.trained:
            with self.checkpoint.as_directory() if self.checkpoint else nullcontext() as folder:
                self._train(Path(folder) if folder else None)
            self.loop.close()
        free_memory()  # of the engine, before the first worker loads the bundle
        if self.rank == 0 and self.measured:
            import ray.train

            from llink_ray.cluster.write_bundle import measure_and_write_bundle

            # The others on this node are done, and leave it their cores.
            torch.set_num_threads(self.threads * ray.train.get_context().get_local_world_size())
            measure_and_write_bundle(self.dir, self.settings, self.device, self.features)

    def _train(self, folder: Path | None) -> None:
        foreign, english = self.features["foreign"], self.features["english"]
        projector = new_projector(foreign.dim, english.dim, self.settings)
        if folder is None or TrainingPosition.read(folder).stage == "a":
            self._check_adapters()
            self._stage_a(projector, folder)
            free_memory()
            folder = None
        else:
            checkpoints.restore_projector(folder, projector)
        self._stage_b(projector, folder)

    def _check_adapters(self) -> None:
        """Find out before Stage A, not after it, that the decoder has none of the layers to adapt."""
        named, lora = self.settings.decoder, self.settings.lora
        if lora.targets == "all-linear":  # fits every decoder
            return
        from transformers import AutoConfig, AutoModelForCausalLM

        with explain_errors(named.model, "decoder"), torch.device("meta"):
            config = AutoConfig.from_pretrained(locate(named.model, "decoder"), revision=named.revision)
            empty = AutoModelForCausalLM.from_config(config)
        with_lora(empty, lora)

    def _stage_a(self, projector: Projector, folder: Path | None) -> None:
        settings = self.settings.stage_a
        train, validation = self.dir.read_pairs("train"), self.dir.read_pairs("validation")
        start = start_bundle(self.settings)
        if start is not None:
            load_modules(start, projector, None, None)
        if not settings.enabled:
            return
        n, m = len(train), len(validation)
        foreign, teacher = self.features["foreign"].vectors, self.features["english"].vectors
        held_out = [torch.from_numpy(vectors[np.arange(n, n + m)]) for vectors in (foreign, teacher)]
        data = AlignmentData(MappedRows(foreign, n), MappedRows(teacher, n), sentence_numbers(train))
        encoded = self.features.get("encoded_english")
        english = MappedRows(encoded.vectors, n) if encoded is not None else None
        data = prepare_alignment(projector, data, settings, english, trained=start is not None)
        broadcast_from_first([*projector.buffers(), *projector.parameters()])
        projector.to(self.device)
        stage = StageA(projector, data, settings, self.settings.seed)
        seed_worker(self.settings, self.rank)
        if folder is not None:
            checkpoints.restore_stage_a(folder, stage)
        self._rewind_history("a", stage.step)
        if m and stage.step == 0:  # a linear start may be better than anything the steps find
            stage.record_validation(validate(projector, *held_out))

        def evaluate() -> dict[str, float]:
            if not m:  # a small corpus may leave no validation pairs
                return {}
            result = validate(projector, *held_out)
            stage.record_validation(result)
            return {"validation/r1": result.r1, "validation/r10": result.r10}

        self.loop.run(
            "a",
            stage,
            stage.steps,
            settings.planned_evaluation_interval(n),
            evaluate,
            lambda metrics: checkpoints.report_stage_a(stage, metrics),
        )
        stage.keep_best()

    def _stage_b(self, projector: Projector, folder: Path | None) -> None:
        settings = self.settings
        train = self.dir.read_pairs("train")
        projector.to(self.device)
        states = torch.from_numpy(self.features["english"].vectors[np.arange(len(train))])
        teacher = torch.cat(
            [projector.normalise(part.to(self.device)).cpu() for part in states.split(TEACHER_ROWS)]
        )
        bf16 = engines.has_bf16(settings, self.device)
        decoder = Decoder.load(settings.decoder, str(self.device), torch.bfloat16 if bf16 else None)
        torch.manual_seed(settings.seed)  # the same initial weights on every worker
        slots = new_slots(decoder, settings, self.token_dim).to(self.device)
        model = LlinkModel(with_lora(decoder.model, settings.lora), projector, slots)
        decoder.prepare_training()
        if folder is None:
            self._start_modules(model, decoder, train)
        source = ExampleSource(
            train, decoder.prompt_builder, settings.stage_b, settings.slots, settings.seed, self.language
        )
        engine = engines.initialize(model, settings, source.count, self.workers, bf16)
        stage = StageB(
            engine, engine.optimizer, source, self.features["foreign"], teacher, settings.stage_b, self.device
        )
        seed_worker(settings, self.rank)
        if folder is not None:
            stage.step = checkpoints.restore_stage_b(folder, engine)
        self._rewind_history("b", stage.step)
        engine.train()
        batches = self._validation_batches(decoder, len(train))
        evaluator = self._evaluator(model, decoder, len(train))

        def evaluate() -> dict[str, float]:
            figures = {"validation/loss": stage.held_out(batches)} if batches else {}
            if evaluator is not None:
                engine.train(False)
                figures |= {f"validation/{name}": value for name, value in evaluator.evaluate().items()}
                engine.train()
            return figures

        self.loop.run(
            "b",
            stage,
            settings.stage_b.steps,
            settings.stage_b.evaluate_every,
            evaluate,
            lambda metrics: checkpoints.report_stage_b(engine, projector, stage.step, metrics),
        )
        with engines.gathered_parameters(engine) as trained:
            if self.rank == 0:
                from llink_ray.cluster.write_bundle import save_trained_weights

                save_trained_weights(self.dir, trained)
        torch.distributed.barrier()

    def _start_modules(self, model: LlinkModel, decoder: Decoder, train: list[Pair]) -> None:
        """Slots and adapters before the first step: another bundle's, or from the decoder's embeddings."""
        start = start_bundle(self.settings)
        if start is not None:
            load_modules(start, None, model.slots, model.decoder)
        elif self.settings.starts_from_embeddings:
            foreign, english = self.features["foreign"], self.features["encoded_english"]
            rows = range(len(train))
            start_slots(
                model.slots,
                decoder,
                self.settings.encoder,
                train,
                (foreign, rows),
                (english, rows),
                self.settings.stage_b.embedding_start,
                self.settings.seed,
            )
            broadcast_from_first(list(model.slots.parameters()))

    def _evaluator(self, model: LlinkModel, decoder: Decoder, offset: int) -> ValidationEvaluator | None:
        if not self.settings.stage_b.validation_answers:
            return None
        pairs = self.dir.read_pairs("validation")
        foreign, teacher = self.features["foreign"], self.features["english"]
        return ValidationEvaluator(
            model, decoder, self.settings, self.language, pairs, foreign, teacher, offset
        )

    def _validation_batches(self, decoder: Decoder, offset: int) -> list[tuple[Prompts, Encoded]]:
        """One example of each of the first validation pairs; ``offset`` is the first one's feature row."""
        settings = self.settings.stage_b
        pairs = source_pairs(
            self.dir.read_pairs("validation")[: settings.validation_examples], settings.source
        )
        drawn = training_examples(pairs, self.settings.seed, 0, settings.translate_share, 1)
        examples = tokenise(decoder.prompt_builder, drawn, self.settings.slots, self.language)
        batches = []
        for start in range(0, len(examples), settings.validation_batch_size):
            part = examples[start : start + settings.validation_batch_size]
            prompts = collate([e.prompt for e in part], [e.answer for e in part])
            rows = np.array([offset + pair for e in part for pair in e.pairs])
            counts = [count for e in part for count in e.slot_counts]
            batches.append((prompts, load_sources(self.features["foreign"], rows, counts)))
        return batches

    def _rewind_history(self, stage: str, step: int) -> None:
        if self.rank == 0:
            history.rewind(self.dir.history, stage, step)
