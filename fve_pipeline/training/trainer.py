"""Training the segmenter, one file to read: set up, step, validate, keep.

The rules that make a run repeatable are few. The order of samples, the prompts drawn for them and every
random number in the model are functions of (seed, epoch, sample), never of a generator's state. A loss is a
sum over rows (image and prompt) divided by the number of rows of the global batch, counted over all ranks.
So the curve does not depend on how many processes share a batch, in how many pieces they take it, or how
often the run was killed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fve_pipeline.bio2vol.network import Volumes
from fve_pipeline.bio2vol.objective import SubVolumes, aligned
from fve_pipeline.errors import TrainError
from fve_pipeline.loading.share import Batch, Share
from fve_pipeline.runtime.units import parse_duration
from fve_pipeline.segmenter.checkpoint import FORMAT, VERSION, read_checkpoint
from fve_pipeline.segmenter.losses import Losses, LossWeights, segmentation_losses
from fve_pipeline.segmenter.randomness import CounterRandomness
from fve_pipeline.training.checkpoint import CheckpointFolder, save_checkpoint
from fve_pipeline.training.config import TrainConfig
from fve_pipeline.training.data import TrainingData, ValidationData
from fve_pipeline.training.log import RunLog, Stopwatch
from fve_pipeline.training.means import LOSSES, loss_means, loss_sums
from fve_pipeline.training.precision import Precision
from fve_pipeline.training.ranks import Ranks, in_one_layout, join_ranks
from fve_pipeline.training.result import TrainResult, mark_requeue, unmark_requeue
from fve_pipeline.training.schedule import learning_rate
from fve_pipeline.training.setup import Start, build_model, check_batch, check_data, require_same, trainable
from fve_pipeline.training.stopping import StopReason, StopRequest, stop_on_signals
from fve_pipeline.training.trackers import Tracker
from fve_pipeline.training.validation import in_words, mean_dice, validate

__all__ = ["TrainResult", "train"]


def train(
    config: TrainConfig,
    data: TrainingData,
    validation: ValidationData | None,
    out: Path,
    *,
    resume: bool = False,
    trackers: Sequence[Tracker] = (),
) -> TrainResult:
    """Train by ``config`` into ``out``: checkpoints, ``best.pt``, ``log.jsonl``, pictures, and what trackers keep.

    ``trackers`` are told what those of [run] trackers are.

    Under torchrun each process calls this alike. ``resume`` goes on from the newest checkpoint in ``out``. Ctrl-C,
    SIGTERM, SIGUSR1 and [run] stop_after end the run after the step that runs, with a checkpoint; all but Ctrl-C leave a
    file ``requeue`` in ``out``, which the next run removes.

    Raises
    ------
    TrainError
        If the data do not suit the model, the loss is not finite, or memory runs out; says what to change.
    """
    with join_ranks(config.run.device) as ranks:
        per_epoch = check_batch(config, len(data), ranks.world)
        start = build_model(config.model, config.run.seed)
        check_data(config, data, validation, start.expected)
        return _Run(config, data, validation, out, ranks, start, per_epoch).go(resume, trackers)


class _Run:
    """One run's state, and its loop."""

    def __init__(
        self,
        config: TrainConfig,
        data: TrainingData,
        validation: ValidationData | None,
        out: Path,
        ranks: Ranks,
        start: Start,
        per_epoch: int,
    ) -> None:
        self.config, self.data, self.validation, self.out, self.ranks = config, data, validation, out, ranks
        self.per_epoch = per_epoch
        self.seen = start.trained_on | data.trained_on
        self.steps = per_epoch * config.optimisation.epochs
        self.share = Share(config.optimisation.batch, ranks.rank, ranks.world, config.run.accumulate)
        self.folder = CheckpointFolder(out / "checkpoints", config.run.keep)
        self.weights = LossWeights(**config.losses.model_dump())
        self.precision = Precision.of(config.run.precision, ranks.device.type)

        self.model = start.model.to(ranks.device).train()
        self.model.recompute_activations(on=config.run.recompute)
        self.optimiser = torch.optim.AdamW(
            trainable(self.model),
            lr=config.optimisation.lr,
            weight_decay=config.optimisation.weight_decay,
            fused=config.run.fused,
        )
        if config.run.compile:
            self.model.backbone.compile()
            self.model.sem_seg_head.pixel_decoder.compile()
        # Bio2Vol adapts the model in place; what is run then takes sub-volumes in place of slices.
        self.volumes = Volumes(self.model, config.bio2vol) if config.bio2vol else None
        run = self.volumes or self.model
        self.parallel: nn.Module = DistributedDataParallel(in_one_layout(run)) if ranks.world > 1 else run
        self.losses = (*LOSSES, "alignment") if self.volumes else LOSSES

        self.step, self.best, self.loss = 0, -1.0, math.nan
        self.scores: dict[str, dict[str, float | int | None]] = {}
        self.saved: Path | None = None
        self.stopped: StopReason = ""
        self.owed = False  # the validation of an epoch whose last step was the one to stop after

    def go(self, resume: bool, trackers: Sequence[Tracker]) -> TrainResult:
        """From the start, or from the newest checkpoint, to the last step."""
        self._begin(resume)
        limit = None if self.config.run.stop_after is None else parse_duration(self.config.run.stop_after)
        with (
            self.precision.products(),
            stop_on_signals(limit) as stop,
            RunLog(self.out, self.steps, self.step, self.config, trackers, on=self.ranks.first) as log,
        ):
            model = self.config.model
            log.say(
                f"{self.ranks.device}, preset {model.preset} from {model.init or 'random weights'}, {self.steps} steps"
            )
            if self.owed:
                self._validate(log)
                self._save()
            while self.step < self.steps and not self.stopped:
                self._epoch(log, stop)
        if self.stopped == "requeue" and self.ranks.first:
            mark_requeue(self.out, self.step)
        return TrainResult(self.step, self.loss, self.scores, self.saved, self.stopped)

    def _epoch(self, log: RunLog, stop: StopRequest) -> None:
        epoch, start = divmod(self.step, self.per_epoch)
        watch = Stopwatch()
        batches = watch.waiting(self.data.batches(epoch, self.share, start))
        while self.step < (epoch + 1) * self.per_epoch:
            pieces = list(islice(batches, self.share.accumulate))
            values = self._step(pieces, epoch)
            self.step += 1
            seconds, waited = watch.read()
            speed = self.share.batch / seconds
            if self.step % self.config.run.log_every == 0:
                log.write("train", self.step, {**values, "samples_per_s": speed, "data_wait": waited})
            log.advance(
                self.step, epoch, f"loss {self.loss:.4f}  {speed:.1f} samples/s  data wait {waited:.0%}"
            )
            done, last = self.step == (epoch + 1) * self.per_epoch, self.step == self.steps
            self.owed = done and ((epoch + 1) % self.config.run.validate_every == 0 or last)
            self.stopped = stop.agreed(
                self.ranks
            )  # before a validation, which may outlast a queue's patience
            if self.owed and not self.stopped:
                self._validate(log)
            if self.step % self.config.run.checkpoint_every == 0 or last or self.stopped:
                self._save()
            if self.stopped:
                return

    def _step(self, pieces: list[Batch], epoch: int) -> dict[str, float]:
        """One optimiser step over this rank's pieces of a global batch; the global batch's mean losses."""
        device, rate = self.ranks.device, learning_rate(self.config, self.step, self.steps)
        rows = self.ranks.sum(
            torch.tensor(float(sum(b.masks.shape[0] * b.masks.shape[1] for b in pieces)), device=device)
        )
        sums = torch.zeros(len(self.losses) + 1, device=device)
        try:
            for i, batch in enumerate(pieces):
                last = i == len(pieces) - 1
                wait = nullcontext() if last or self.ranks.world == 1 else self.parallel.no_sync()  # type: ignore[operator]
                with wait:
                    losses = self._losses(batch, epoch)
                    # DDP averages gradients over ranks; times the ranks, the sum over the global batch is left.
                    (losses.total.sum() * self.ranks.world / rows).backward()  # type: ignore[no-untyped-call]
                sums += loss_sums(losses, self.losses)
        except torch.OutOfMemoryError as error:
            msg = (
                f"out of memory at step {self.step + 1} with {self.share.micro} images at once. Raise [run] "
                "accumulate (same result), set [run] recompute = true, precision = 'bf16', or lower the batch"
            )
            raise TrainError(msg) from error
        norm = nn.utils.clip_grad_norm_(trainable(self.model), self.config.optimisation.clip or math.inf)
        totals = self.ranks.sum(sums)
        self._require_finite(totals, norm, epoch)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

        values = loss_means(totals, self.losses, float(rows))
        self.loss = values.pop("total")
        return {"loss": self.loss, **values, "lr": rate, "grad_norm": float(norm), "epoch": epoch}

    def _losses(self, batch: Batch, epoch: int) -> Losses:
        device, seed = self.ranks.device, self.config.run.seed
        images, masks = (x.to(device, non_blocking=True) for x in (batch.images, batch.masks))
        count = masks.shape[1]
        tokens = self.model.tokenize([prompt for prompts in batch.prompts for prompt in prompts])
        if self.volumes is not None and isinstance(batch, SubVolumes):
            draws = batch.randomness(seed, epoch).to(device)
            with self._autocast():
                prediction = self.parallel(images, batch.layout, tokens, draws)
            losses = segmentation_losses(prediction, masks, self.weights)
            return aligned(losses, prediction, batch.layout, self.volumes.settings)
        draws = CounterRandomness.of(seed, batch.samples, [range(count)] * len(batch), epoch)
        with self._autocast():
            prediction = self.parallel(images, tokens, draws.to(device))
        return segmentation_losses(prediction, masks, self.weights)

    def _autocast(self) -> AbstractContextManager[Any]:
        return self.precision.autocast(self.ranks.device.type)

    def _require_finite(self, totals: Tensor, norm: Tensor, epoch: int) -> None:
        if bool(totals.isfinite().all()) and (bool(norm.isfinite()) or not bool(totals[0])):
            return
        where = self.folder.newest()
        msg = (
            f"the loss or its gradient is not finite at step {self.step + 1} (epoch {epoch}): losses "
            f"{[round(float(v), 4) for v in totals]}, gradient norm {float(norm):.4g}. Lower [optimisation] lr, set "
            "clip, or precision = 'float32'; "
            + (f"the last good state is {where}" if where else "no checkpoint was written yet")
        )
        raise TrainError(msg)

    def _validate(self, log: RunLog) -> None:
        self.owed = False
        if self.validation is None:
            return
        settings = self.config.run
        self.scores, pictures = validate(
            self.model,
            self.validation,
            self.ranks,
            settings.seed,
            settings.validation_images,
            self._autocast(),
            self.volumes,
        )
        dice = mean_dice(self.scores)
        log.write("validation", self.step, {"dice": dice, "classes": self.scores})
        log.say(f"step {self.step}: {in_words(self.scores)}, over {len(self.scores)} classes of whole cases")
        for i, picture in enumerate(pictures):
            log.image(f"case-{i}", self.step, picture)
        if dice > self.best:
            self.best = dice
            if self.ranks.first:
                self.folder.path.mkdir(parents=True, exist_ok=True)
                save_checkpoint(self.folder.path / "best.pt", self._content(training=False))

    def _content(self, training: bool = True) -> dict[str, Any]:
        """A checkpoint in our layout: it opens as weights, and resumes if ``training`` is in it."""
        content: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "config": self.model.config.model_dump(mode="json"),
            "settings": dict(self.data.settings),
            "model": self.model.state_dict(),
            "trained_on": self.seen.as_content(),
        }
        if training:
            content["training"] = {
                "step": self.step,
                "owed": self.owed,
                "best": self.best,
                "loss": self.loss,
                "scores": self.scores,
                "optimiser": self.optimiser.state_dict(),
                "content_id": self.data.content_id,
                "config": self.config.model_dump(mode="json"),
            }
        return content

    def _save(self) -> None:
        if self.ranks.first:
            self.saved = self.folder.save(self.step, self._content())
        self.ranks.gather(None)  # the others wait, so that no rank runs ahead of a checkpoint

    def _begin(self, resume: bool) -> None:
        """An empty folder, or the state in it."""
        newest = self.folder.newest()
        if newest is None:
            return
        if not resume:
            msg = f"{self.out} holds a run ({newest.name}); give --resume to go on with it, or another --out"
            raise TrainError(msg)
        state = read_checkpoint(newest).content
        past = state["training"]
        require_same(self.config, self.model, state, self.data, newest)
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(past["optimiser"])
        self.step, self.best, self.saved = past["step"], past["best"], newest
        self.loss, self.scores = past.get("loss", math.nan), past.get("scores", {})
        self.owed = past.get("owed", False)
        if self.ranks.first:
            unmark_requeue(self.out)
