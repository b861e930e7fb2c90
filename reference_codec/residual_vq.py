"""Residual vector quantization with codebooks that follow a moving average of what they code.

Reads beside Zeghidour et al., "SoundStream", arXiv:2107.03312, §III-C and algorithm 1, and
Défossez et al., "High Fidelity Neural Audio Compression", arXiv:2210.13438, §3.2. Differs where
the released training code was found wrong (facebookresearch/encodec issues 25 and 61), as the
same authors later did for Moshi (arXiv:2410.00037, §3.3.3):

- the straight-through gradient spans the sum of all levels, so that every level's commitment
  loss reaches the encoder;
- a replaced entry gets fresh statistics, so that the next update does not undo the replacement;
- an entry is dead below a share of the average use, whatever the batch size is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from reference_codec.quantizers import Quantized, Quantizer, codebooks_per_clip, straight_through


class EMACodebook(nn.Module):
    """One codebook of Euclidean nearest neighbours.

    Args:
        dead_below: entries used less than this share of the average are replaced by vectors of
            the batch, every `check_every` updates.
        seed: of the draws for initialisation and replacement, which depend on nothing else than
            it and the number of updates; processes that train together draw alike.
    """

    vectors: Tensor
    counts: Tensor
    sums: Tensor
    updates: Tensor
    half_norms: Tensor

    def __init__(
        self,
        size: int,
        dim: int,
        *,
        decay: float = 0.99,
        kmeans_steps: int = 50,
        dead_below: float = 0.1,
        check_every: int = 5,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.decay = decay
        self.kmeans_steps = kmeans_steps
        self.dead_below = dead_below
        self.check_every = check_every
        self.seed = seed
        self.register_buffer("vectors", torch.zeros(size, dim))
        # The moving averages behind `vectors`: how often each entry is used per batch, and the
        # sum of what it codes. `updates` stays 0 until the first batch has placed the entries.
        self.register_buffer("counts", torch.ones(size))
        self.register_buffer("sums", torch.zeros(size, dim))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.register_buffer("half_norms", torch.zeros(size), persistent=False)
        self.register_load_state_dict_post_hook(  # type: ignore[no-untyped-call]
            lambda module, keys: module.refresh()
        )

    @torch.no_grad()
    def refresh(self) -> None:
        """Recompute |e|²/2 of the entries; call after every change of `vectors`."""
        self.half_norms = self.vectors.square().sum(1) / 2

    def encode(self, x: Tensor) -> Tensor:
        """Index of the nearest entry for `[n, dim]`; the first of equally near ones."""
        # |x - e|² = |x|² - 2(x·e - |e|²/2): the smallest distance is the largest bracket.
        return torch.addmm(-self.half_norms, x, self.vectors.t()).argmax(1)

    def decode(self, codes: Tensor) -> Tensor:
        return F.embedding(codes, self.vectors)

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Place the entries by k-means on a batch `[n, dim]`."""
        samples = _over_all_processes(x)
        if not len(samples):  # quantizer dropout left this level out of the whole batch
            return
        vectors = self._draw(samples, len(self.vectors))
        for _ in range(self.kmeans_steps):
            self._place(vectors)
            counts, sums = self._statistics(samples, self.encode(samples))
            # An empty cluster stays where it is.
            vectors = torch.where(counts[:, None] > 0, sums / counts[:, None].clamp(min=1), vectors)
        self._place(vectors)
        counts, _ = self._statistics(samples, self.encode(samples))
        self.counts.copy_(counts)
        self.sums.copy_(vectors * counts[:, None])
        self.updates.fill_(1)

    @torch.no_grad()
    def update(self, x: Tensor, codes: Tensor) -> None:
        """Move the entries towards the mean of what they code in this batch; revive dead ones."""
        counts, sums = self._statistics(x, codes)
        counts, sums = _sum_over_processes(counts), _sum_over_processes(sums)
        if not bool(counts.any()):
            return
        self.counts.lerp_(counts, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        self.updates += 1
        if int(self.updates) % self.check_every == 0:
            average = self.counts.mean()
            dead = self.counts < self.dead_below * average
            if bool(dead.any()):
                revived = self._draw(_over_all_processes(x), len(self.vectors))
                self.counts.copy_(torch.where(dead, average, self.counts))
                self.sums.copy_(torch.where(dead[:, None], revived * average, self.sums))
        self._place(self.sums / self.counts.clamp(min=1e-5)[:, None])

    def _place(self, vectors: Tensor) -> None:
        self.vectors.copy_(vectors)
        self.refresh()

    def _statistics(self, x: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        size, dim = self.vectors.shape
        counts = torch.bincount(codes, minlength=size).to(self.counts.dtype)
        sums = torch.zeros(size, dim, dtype=self.sums.dtype, device=x.device)
        return counts, sums.index_add_(0, codes, x.to(sums.dtype))

    def _draw(self, samples: Tensor, n: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + int(self.updates))
        if len(samples) >= n:
            chosen = torch.randperm(len(samples), generator=generator)[:n]
        else:
            chosen = torch.randint(len(samples), (n,), generator=generator)
        return samples[chosen.to(samples.device)].to(self.vectors.dtype)


class ResidualVQ(Quantizer):
    """Each codebook codes what the ones before it left over.

    Args:
        latent_dim: channels of the latents and dimensions of the entries.
        **codebook: options of every `EMACodebook`.
    """

    def __init__(
        self, latent_dim: int, n_codebooks: int, codebook_size: int, **codebook: float
    ) -> None:
        super().__init__()
        self.codebook_sizes = (codebook_size,) * n_codebooks
        self.codebooks: Sequence[EMACodebook] = nn.ModuleList(  # type: ignore[assignment]
            EMACodebook(codebook_size, latent_dim, seed=level, **codebook)  # type: ignore[arg-type]
            for level in range(n_codebooks)
        )

    def encode(self, latents: Tensor, n_codebooks: int | None = None) -> Tensor:
        batch, dim, frames = latents.shape
        residual = latents.transpose(1, 2).reshape(-1, dim)
        codes = []
        for codebook in self.codebooks[:n_codebooks]:
            codes.append(codebook.encode(residual))
            residual = residual - codebook.decode(codes[-1])
        return torch.stack(codes).view(-1, batch, frames).transpose(0, 1)

    def decode(self, codes: Tensor) -> Tensor:
        levels = zip(self.codebooks, codes.unbind(1), strict=False)
        total = sum(codebook.decode(level) for codebook, level in levels)
        return total.transpose(1, 2)  # type: ignore[union-attr]

    def forward(self, latents: Tensor, n_codebooks: int | Tensor | None = None) -> Quantized:
        # Nearest neighbours and running sums want float32 also where the network has bfloat16.
        with torch.autocast(latents.device.type, enabled=False):
            quantized = self._train(latents.float(), n_codebooks)
        return quantized._replace(latents=quantized.latents.to(latents.dtype))

    def _train(self, latents: Tensor, n_codebooks: int | Tensor | None) -> Quantized:
        per_clip = codebooks_per_clip(n_codebooks, latents, len(self.codebooks))
        batch, dim, frames = latents.shape
        series = latents.transpose(1, 2)
        # Numbers that are none would stay in the moving averages for ever.
        learns = self.training and _finite_in_all_processes(latents)
        levels = torch.arange(len(self.codebooks), device=latents.device)
        active = levels[:, None] < per_clip  # [codebooks, batch]
        coding = _sum_over_processes(active.sum(1))
        # Each process's share of a mean over all clips; gradients are averaged later.
        shares = active * _processes() / coding.clamp(min=1)[:, None]
        total = torch.zeros_like(series)
        commitment = latents.new_zeros(())
        all_codes = []
        for codebook, codes_clip, share in zip(self.codebooks, active, shares, strict=True):
            residual = series - total  # its gradient is that of the latents
            seen = residual[codes_clip].detach().reshape(-1, dim)
            if learns and int(codebook.updates) == 0:
                codebook.initialise(seen)
            codes = codebook.encode(residual.detach().reshape(-1, dim)).view(batch, frames)
            entries = codebook.decode(codes)
            commitment = commitment + (residual - entries).square().mean((1, 2)) @ share
            if learns:
                codebook.update(seen, codes[codes_clip].flatten())
            total = total + entries * codes_clip[:, None, None]
            all_codes.append(codes)
        return Quantized(
            latents=straight_through(series, total).transpose(1, 2),
            codes=torch.stack(all_codes, 1),
            commitment_loss=commitment / (coding > 0).sum(),
            codebook_loss=torch.zeros_like(commitment),
        )


def _processes() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def _sum_over_processes(counts: Tensor) -> Tensor:
    if distributed.is_initialized():
        distributed.all_reduce(counts)
    return counts


def _finite_in_all_processes(x: Tensor) -> bool:
    return bool(_sum_over_processes((~x.isfinite()).any().long()) == 0)


def _over_all_processes(x: Tensor) -> Tensor:
    """The vectors `[n, dim]` of all processes that train together, in the order of their ranks."""
    if not distributed.is_initialized():
        return x
    n = torch.zeros(distributed.get_world_size(), dtype=torch.int64, device=x.device)
    n[distributed.get_rank()] = len(x)
    distributed.all_reduce(n)
    longest = int(n.max())
    padded = F.pad(x, (0, 0, 0, longest - len(x))).contiguous()
    parts = [torch.empty_like(padded) for _ in n]
    distributed.all_gather(parts, padded)
    return torch.cat([part[:length] for part, length in zip(parts, n.tolist(), strict=True)])
