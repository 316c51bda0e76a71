"""What every package of the suite shares: training, run folders, released models, data files, estimators, statistics."""
