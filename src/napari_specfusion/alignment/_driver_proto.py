from __future__ import annotations
import math, time
import numpy as np
from napari_specfusion.alignment.fit import *
from napari_specfusion.alignment.search import *
from napari_specfusion.alignment.views import Views
from napari_specfusion.alignment.transform import *
from napari_specfusion.alignment.transform import homogeneous
from napari_specfusion.progress import Watch

COARSEST=40
MAXPIX=40000

def level_of(views, lev, scale):
    cube=views.cube(lev); guide=views.guide(lev, scale)
    return Level(cube, guide, cube.measured)

def scale_at(matrix, shape):
    return math.sqrt(abs(np.linalg.det(Transform(matrix).jacobian(shape[0]/2, shape[1]/2))))

def levels(shape, finest):
    top=1
    while max(shape)/(top*finest) > COARSEST: top*=2
    out=[]
    while top>=1:
        out.append(top); top//=2
    return out

def descend(views, cands, lv, shape, model="similarity", keep=(12,4,2,1)):
    for i,l in enumerate(lv):
        out=[]
        for c in cands:
            s=scale_at(c.matrix, shape)
            f=fit_matrix(level_of(views,l,s), c.matrix, model)
            if f is not None: out.append(Candidate(f.gain,f.matrix)); 
        corners=np.array([[0,0,1],[0,shape[1],1],[shape[0],0,1],[shape[0],shape[1],1]]).T.astype(float)
        cands=distinct(out,corners,0.5*l*views.scale,keep[min(i,len(keep)-1)])
        if not cands: return []
    return cands

def final_share(views, matrix, shape):
    return fit_matrix(level_of(views,1,scale_at(matrix,shape)), matrix, "affine")

def search(hsi, guide, nominal, verbose=False, good=0.25):
    t0=time.time()
    shape=hsi.shape[1:]
    scale=math.sqrt(abs(np.linalg.det(nominal)))
    views=Views(hsi,guide,scale,Watch())
    lv=levels(shape,views.finest)
    ss=ShiftSearch(views.cube(lv[0]))
    corners=np.array([[0,0,1],[0,shape[1],1],[shape[0],0,1],[shape[0],shape[1],1]]).T.astype(float)
    best=None; allc=[]
    for si,group in enumerate(poses()):
        t1=time.time()
        found=[]
        for p in group:
            found+=ss.peaks(views.guide(lv[0],scale*p.scale), p.matrix(nominal))
        t2=time.time()
        cands=distinct(found,corners,1.5*lv[0]*scale,24)
        cands=descend(views,cands,lv,shape)
        fit=None
        if cands:
            fit=final_share(views,cands[0].matrix,shape)
        if verbose: print(f" stage {si}: {len(group)} poses {t2-t1:.2f}s, refine {time.time()-t2:.2f}s, share {fit.share if fit else None}")
        if fit and (best is None or fit.gain>best.gain): best=fit
        if best and best.share<good: break
    return best, views, time.time()-t0, si
