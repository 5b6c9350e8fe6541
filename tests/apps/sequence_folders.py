"""Miniatures of the data of applications on sequences, with the quirks of the deposits."""

import gzip

import numpy as np

FLANKS = ("TGCATTTTTTTCACATC", "GGTTACGGCTGTT")


def atlas(folder, tissues=("Liver-Hepatocyte", "Blood-B"), samples=8, molecules=60, seed=0):
    """Files of the atlas of methylation; a tissue is methylated at the markers of the other."""
    rng = np.random.default_rng(seed)
    number = 0
    for t, tissue in enumerate(tissues):
        for _ in range(samples):
            number += 1
            lines = []
            for _ in range(molecules):
                block = int(rng.integers(2))
                first = 100 + 50 * block + int(rng.integers(-2, 6))
                rate = 0.9 if block != t else 0.1
                calls = np.where(rng.random(int(rng.integers(2, 7))) < rate, "C", "T")
                calls[rng.random(len(calls)) < 0.05] = "."
                lines.append((first, "".join(calls), int(rng.integers(1, 4))))
            # molecules of no block, of which the deposit has most
            lines += [(500 + int(rng.integers(40)), "CCTC", 1) for _ in range(molecules)]
            name = f"GSM56521{number:02d}_{tissue}-Z0000{number:02d}.hg38.pat.gz"
            with gzip.open(folder / name, "wt") as file:
                file.writelines(f"chr1\t{f}\t{c}\t{n}\n" for f, c, n in sorted(lines))
    (folder / "markers.tsv").write_text(
        "chr\tstart\tend\tstartCpG\tendCpG\ttarget\n"
        "chr1\t1\t2\t150\t155\tB\nchr1\t1\t2\t100\t105\tHepatocyte\n"
    )
    return folder


def expression(folder, promoters=500, seed=0):
    """Two media of deposited expression: constant ends, N, and a line of another plasmid."""
    rng = np.random.default_rng(seed)
    for medium in ("Gal", "Gly"):
        lines = []
        for _ in range(promoters):
            letters = rng.choice(list("ACGT"), 80)
            level = rng.uniform(0, 16)
            if rng.random() < level / 16:
                letters[10:17] = list("TTACCCG")
            lines.append(f"{FLANKS[0]}{''.join(letters)}{FLANKS[1]}\t{level:.12f}\n")
        lines[3] = f"{FLANKS[0]}{'ACGN' * 20}{FLANKS[1]}\t7.25\n"
        lines[4] = f"{'ACGT' * 27}\t3.5\n"
        name = (
            f"GSE104878_20161024_average_promoter_ELs_per_seq_3p1E7_{medium}_ALL.shuffled.txt.gz"
        )
        with gzip.open(folder / name, "wt") as file:
            file.writelines(lines)
    return folder


def gisaid(folder, months=12, seed=0):
    """Spikes with the headers of GISAID: stops, dates without a month, Latin-1, extra fields."""
    rng = np.random.default_rng(seed)
    residues = list("ACDEFGHIKLMNPQRSTVWY")
    spike, number = rng.choice(residues, 60), 0
    with (folder / "spikeprot0430.fasta").open("wb") as file:
        for month in range(months):
            spike[rng.integers(60)] = rng.choice(residues)
            date = f"{2020 + month // 12}-{month % 12 + 1:02d}"
            for place, laboratory in (("France", "Hôpital Bichat"), ("China", "Jinyintan")):
                for k in range(7):
                    own = spike.copy()
                    own[rng.integers(60)] = rng.choice([*residues, "X", "B"])
                    # deletions change the length
                    sequence = "".join(own[: 60 - int(rng.integers(3))])
                    number += 1
                    day = ("", "-05", "-00")[k % 3]
                    header = (
                        f">Spike|hCoV-19/{place}/{number}/2020|{date}{day}|EPI_ISL_{number}|"
                        f"Original|hCoV-19^^{place}|Human|{laboratory}|{laboratory}|Shi|{place}"
                    )
                    file.write(f"{header}\n{sequence}*\n".encode("latin-1"))
        for date, field in (("2020", ""), ("2020-00-00", ""), ("2020-03-01", "|more")):
            header = f">Spike|a|{date}|EPI|Original|b|Human|lab{field}|lab|Shi|Peru"
            file.write(f"{header}\nACDEF*\n".encode())
    return folder
