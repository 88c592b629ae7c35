"""Losses: pure functions that return a map or one value per item, unreduced. The caller masks
(`photometric.masked_mean`), weighs and sums. Where a function takes `valid`, what is invalid may be NaN.

    robust          charbonnier, berhu
    photometric     masked_mean, erode
    ssim            dssim, ssim_l1
    gaussian_ssim   SSIM to judge by
    weighted_ssim   weighted_structure
    census          soft_census, hard_census
    smooth          first_order, edge_aware, edge_aware_second_order, second_order, of d or mean_normalised(d);
                    second_order_directions of flow; wrapped_variation of a motion field
    depth           depth_difference, depth_consistency, scale_invariant, scale_invariant_gradient, ordinal
    stereo          left_right
    flow            block_mean, end_point_errors: truth at the size of a prediction, and how far off that is
    two_views       true_scene: what networks that compare two views are taught
    points          of point clouds
    pose            quaternion_distance, reprojection
    metric          contrastive, hinge, hardest_in_batch, correspondence_contrastive
    classification  information_gain, undecided, sampled_softmax, sampled_cross_entropy, pointer
    weighting       gaussian, laplace, categorical: likelihoods of a pixel, weights of a task

What torch.nn.functional (F, with reduction="none") or another room has already is not written again:

    L1, L2, Huber                          F.l1_loss, F.mse_loss, F.huber_loss
    end-point error, position error        (a - b).norm(dim=...)
    triplet, with a margin or soft         F.triplet_margin_loss, F.softplus(positive - negative)
    triplet, hardest in the batch          F.relu(margin + positive - negative) of `metric.hardest_in_batch`
    hinge of two similarities (MC-CNN)     F.margin_ranking_loss(right, wrong, 1, margin)
    hinge of distances (LIFT)              F.hinge_embedding_loss
    voxel cross-entropy (3D-R2N2)          F.cross_entropy of logits [b, 2, z, y, x]
    silhouette (PTN)                       F.mse_loss(geometry.voxels.silhouette(frustum), truth) / 2
    epipolar error                         geometry.epipolar.sampson_distance, symmetric_epipolar_distance
    forward-backward consistency of flow   robust.charbonnier of geometry.visibility.round_trip
    a binary map (explainability)          F.binary_cross_entropy_with_logits
"""
